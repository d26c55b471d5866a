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
  readonly feed = new Feed(async () => {
    this.asked++
    return { inFlight: this.inFlight } as Status
  })

  follow (): { lines: string[], stop: () => void } {
    const lines: string[] = []
    const stop = this.feed.follow(({ event, status }: EventLine) => lines.push(`${event} ${status.inFlight}`))
    return { lines, stop }
  }

  async look (): Promise<void> {
    mock.timers.tick(LOOK_MS)
    await settle()
  }
}

t.test('an event is told to everybody who follows, with how things stand', async t => {
  const it = new Fed()
  const [one, other] = [it.follow(), it.follow()]
  await it.feed.publish('maintenance-entered')
  t.same(one.lines, ['maintenance-entered 3'])
  t.same(other.lines, one.lines)
})

t.test('a change is told without an event, once', async t => {
  const it = new Fed()
  const { lines } = it.follow()
  await it.look()
  await it.look()
  t.same(lines, ['status 3'])
  it.inFlight = 2
  await it.look()
  await it.look()
  t.same(lines, ['status 3', 'status 2'])
})

t.test('what an event has told is no news after it', async t => {
  const it = new Fed()
  const { lines } = it.follow()
  await it.feed.publish('maintenance-drained')
  await it.look()
  t.same(lines, ['maintenance-drained 3'])
})

t.test('while nobody follows nobody is asked', async t => {
  const it = new Fed()
  await it.feed.publish('maintenance-entered')
  await it.look()
  t.equal(it.asked, 0)
  const { stop } = it.follow()
  stop()
  await it.look()
  t.equal(it.asked, 0)
})

t.test('who stops is told nothing more, and the others are', async t => {
  const it = new Fed()
  const one = it.follow()
  const other = it.follow()
  one.stop()
  await it.look()
  t.same(one.lines, [])
  t.same(other.lines, ['status 3'])
})

t.test('closed, it does not look any more', async t => {
  const it = new Fed()
  it.follow()
  it.feed.close()
  await it.look()
  t.equal(it.asked, 0)
})
