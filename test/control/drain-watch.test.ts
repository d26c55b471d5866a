import t from 'tap'
import { DrainWatch } from '../../src/control/drain-watch.ts'
import { settle } from '../helpers/operator-rig.ts'
import { FakeClock } from './fake-clock.ts'

class Watched {
  readonly clock = new FakeClock()
  readonly drained: Array<[tookMs: number, failures: readonly string[]]> = []
  readonly watch: DrainWatch
  inFlight = 0
  hooks = async (): Promise<readonly string[]> => []

  constructor () {
    this.watch = new DrainWatch({
      inFlight: () => this.inFlight,
      runHooks: () => this.hooks(),
      monotonicMs: this.clock.monotonicMs,
      after: this.clock.after,
      drained: (tookMs, failures) => this.drained.push([tookMs, failures])
    })
  }
}

t.test('it is over when nothing is in flight any more, and says how long that took', async t => {
  const it = new Watched()
  it.inFlight = 2
  it.watch.start()
  it.clock.pass(1_000)
  it.inFlight = 1
  it.clock.pass(1_000)
  await settle()
  t.equal(it.watch.isOver, false)
  it.inFlight = 0
  it.clock.pass(10)
  await settle()
  t.equal(it.watch.isOver, true)
  t.same(it.drained, [[2_010, []]])
  t.equal(it.clock.timers, 0)
})

t.test('it is over only when the hooks are, and their time counts', async t => {
  const it = new Watched()
  const hooks = Promise.withResolvers<string[]>()
  it.hooks = async () => await hooks.promise
  it.watch.start()
  it.clock.pass(3_000)
  await settle()
  t.equal(it.watch.isOver, false)
  t.same(it.drained, [])
  hooks.resolve(['worker 0: the pool did not close'])
  await settle()
  t.equal(it.watch.isOver, true)
  t.same(it.drained, [[3_000, ['worker 0: the pool did not close']]])
})

t.test('the hooks run once, and after the last request', async t => {
  const it = new Watched()
  const ran: number[] = []
  it.hooks = async () => { ran.push(it.inFlight); return [] }
  it.inFlight = 1
  it.watch.start()
  it.clock.pass(1_000)
  t.same(ran, [])
  it.inFlight = 0
  it.clock.pass(1_000)
  await settle()
  it.clock.pass(1_000)
  t.same(ran, [0])
})

t.test('stopped, it tells nothing and leaves no timer behind', async t => {
  const it = new Watched()
  it.inFlight = 1
  it.watch.start()
  it.watch.stop()
  it.inFlight = 0
  it.clock.pass(1_000)
  await settle()
  t.same(it.drained, [])
  t.equal(it.clock.timers, 0)
})

t.test('stopped while the hooks run, it is not over when they are', async t => {
  const it = new Watched()
  const hooks = Promise.withResolvers<string[]>()
  it.hooks = async () => await hooks.promise
  it.watch.start()
  it.watch.stop()
  hooks.resolve([])
  await settle()
  t.equal(it.watch.isOver, false)
  t.same(it.drained, [])
})

t.test('started anew while the hooks run, it waits for hooks of its own', async t => {
  const it = new Watched()
  const runs: Array<PromiseWithResolvers<string[]>> = []
  it.hooks = async () => {
    const run = Promise.withResolvers<string[]>()
    runs.push(run)
    return await run.promise
  }
  it.watch.start()
  it.watch.start()
  runs[0]?.resolve([])
  await settle()
  t.equal(it.watch.isOver, false)
  runs[1]?.resolve([])
  await settle()
  t.equal(it.watch.isOver, true)
  t.equal(it.drained.length, 1)
})
