import { mock } from 'node:test'
import t from 'tap'
import { Feed } from '../../src/control/feed.ts'
import type { EventLine, Status } from '../../src/control/protocol.ts'
import { settle } from '../helpers/operator-rig.ts'

const LOOK_MS = 250

t.beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }))
t.afterEach(() => mock.timers.reset())

class Fed {
  inFlight = 3
  asked = 0
  /** What the next status waits for. */
  hang: Promise<void> | undefined
  readonly feed = new Feed(async () => {
    this.asked++
    const status = { inFlight: this.inFlight } as Status
    await this.hang
    return status
  })

  /** Somebody who knows how things stand. */
  async follow (): Promise<{ lines: string[], stop: () => void }> {
    const lines: string[] = []
    const stop = this.feed.follow(({ event, status }: EventLine) => lines.push(`${event} ${status.inFlight}`))
    await settle()
    return { lines, stop }
  }

  async look (): Promise<void> {
    mock.timers.tick(LOOK_MS)
    await settle()
  }
}

t.test('whoever follows is told how things stand, and nobody else', async t => {
  const it = new Fed()
  const one = await it.follow()
  const other = await it.follow()
  t.same([one.lines, other.lines], [['status 3'], ['status 3']])
})

t.test('an event is told to everybody who follows, with how things stand', async t => {
  const it = new Fed()
  const [one, other] = [await it.follow(), await it.follow()]
  it.inFlight = 2
  await it.feed.publish('maintenance-entered')
  t.same(one.lines, ['status 3', 'maintenance-entered 2'])
  t.same(other.lines, one.lines)
})

t.test('a change is told without an event, once', async t => {
  const it = new Fed()
  const { lines } = await it.follow()
  await it.look()
  it.inFlight = 2
  await it.look()
  await it.look()
  t.same(lines, ['status 3', 'status 2'])
})

t.test('what an event has told is no news after it', async t => {
  const it = new Fed()
  const { lines } = await it.follow()
  it.inFlight = 2
  await it.feed.publish('maintenance-drained')
  await it.look()
  t.same(lines, ['status 3', 'maintenance-drained 2'])
})

t.test('an event is told though it changes nothing', async t => {
  const it = new Fed()
  const { lines } = await it.follow()
  await it.feed.publish('worker-stuck')
  t.same(lines, ['status 3', 'worker-stuck 3'])
})

t.test('a status that takes its time does not undo what came after it', async t => {
  const it = new Fed()
  const { lines } = await it.follow()
  const hang = Promise.withResolvers<void>()
  it.hang = hang.promise
  it.inFlight = 2
  await it.look()
  const entered = it.feed.publish('maintenance-entered')
  it.hang = undefined
  it.inFlight = 1
  const left = it.feed.publish('maintenance-left')
  const late = await it.follow()
  hang.resolve()
  await Promise.all([entered, left])
  await settle()
  t.equal(lines.at(-1), 'maintenance-left 1')
  t.same(lines, ['status 3', 'status 2', 'maintenance-entered 2', 'maintenance-left 1'])
  t.match(late.lines.at(-1), / 1$/)
})

t.test('whoever begins to follow while a status takes its time is not left with an old one', async t => {
  const it = new Fed()
  await it.follow()
  const hang = Promise.withResolvers<void>()
  it.hang = hang.promise
  const late = await it.follow()
  it.hang = undefined
  it.inFlight = 0
  const left = it.feed.publish('maintenance-left')
  hang.resolve()
  await left
  t.same(late.lines, ['status 3', 'maintenance-left 0'])
})

t.test('while nobody follows nobody is asked', async t => {
  const it = new Fed()
  await it.feed.publish('maintenance-entered')
  await it.look()
  t.equal(it.asked, 0)
  const { stop } = await it.follow()
  stop()
  const { asked } = it
  await it.look()
  t.equal(it.asked, asked)
})

t.test('who stops is told nothing more, and the others are', async t => {
  const it = new Fed()
  const one = await it.follow()
  const other = await it.follow()
  one.stop()
  it.inFlight = 2
  await it.look()
  t.same(one.lines, ['status 3'])
  t.same(other.lines, ['status 3', 'status 2'])
})

t.test('closed, it does not look any more', async t => {
  const it = new Fed()
  await it.follow()
  it.feed.close()
  const { asked } = it
  await it.look()
  t.equal(it.asked, asked)
})
