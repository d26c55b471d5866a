import t from 'tap'
import { inMaintenance, Rig, settle } from '../helpers/operator-rig.ts'

const by = 'SIGUSR2'

t.test('leaving is refused where the record cannot be written, and says so', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.operator.resume()
  rig.diskFailure = 'before'
  t.match(await rig.operator.leave({ by }), /no space left/)
  t.equal(rig.mode, 'maintenance')
  t.match(rig.last('leave-refused'), { by, reason: /no space left/ })
  t.equal(rig.count('maintenance-left'), 0)
  t.equal(rig.hasWitness, true)
})

t.test('a leave that failed when the new record was in place puts the old one back', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.operator.resume()
  rig.diskFailure = 'after'
  rig.watch = deed => { if (deed === 'record live') setImmediate(() => { rig.diskFailure = 'none' }) }
  await rig.operator.leave({ by })
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk.mode, 'maintenance')
  await settle()
  await rig.advance(60_000)
  t.equal(rig.disk.mode, 'maintenance')
  t.equal(rig.operator.status.durable, true)
})

t.test('leaving waits until the application serves', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk.mode, 'maintenance')
  t.equal(rig.count('leave-waiting'), 1)
  t.equal(rig.operator.status.leaving, true)
  rig.setServing(true)
  t.equal(await left, undefined)
  t.equal(rig.mode, 'live')
  t.equal(rig.operator.status.leaving, false)
})

t.test('asking to leave again while a leave waits changes nothing, and both are done together', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  const both = [rig.operator.leave({ by }), rig.operator.leave({ by })]
  await settle()
  rig.setServing(true)
  t.same(await Promise.all(both), [undefined, undefined])
  t.equal(rig.count('maintenance-left'), 1)
})

t.test('entering cancels a leave that waits', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  rig.operator.enter({ by: 'SIGUSR1' })
  t.match(rig.last('leave-cancelled'), { by: 'SIGUSR1' })
  rig.setServing(true)
  t.match(await left, /asked for again/)
  await settle()
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk.mode, 'maintenance')
})

t.test('entering between the answer of the application and the opening cancels the leave', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  rig.setServing(true)
  rig.operator.enter({ by: 'SIGUSR1' })
  await left
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk.mode, 'maintenance')
})

t.test('a check that does not pass keeps maintenance on, and the leave says what it saw', async t => {
  const rig = new Rig({ state: inMaintenance(), check: async () => 'connection refused' })
  rig.operator.resume()
  t.match(await rig.operator.leave({ by }), /connection refused/)
  t.equal(rig.mode, 'maintenance')
  t.match(rig.last('leave-refused'), { reason: /connection refused/ })
})

t.test('force leaves without the check', async t => {
  const rig = new Rig({ state: inMaintenance(), check: async () => 'connection refused' })
  rig.operator.resume()
  t.equal(await rig.operator.leave({ by, force: true }), undefined)
  t.match(rig.last('maintenance-left'), { forced: true })
})

t.test('entering while the check runs cancels the leave', async t => {
  let pass = (): void => {}
  const rig = new Rig({ state: inMaintenance(), check: async () => await new Promise(resolve => { pass = () => resolve(undefined) }) })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  rig.operator.enter({ by: 'SIGUSR1' })
  pass()
  await left
  t.equal(rig.mode, 'maintenance')
})

t.test('after stop leaving is refused and entering still works', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.operator.resume()
  rig.operator.stop()
  t.match(await rig.operator.leave({ by }), /stopping/)
  t.equal(rig.mode, 'maintenance')

  const other = new Rig()
  other.operator.resume()
  other.operator.stop()
  other.operator.enter({ by: 'SIGUSR1' })
  t.equal(other.mode, 'maintenance')
  t.equal(other.disk.mode, 'maintenance')
})

t.test('stop cancels a leave that waits, and leaves no timer behind', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.inFlight = 1
  rig.diskFailure = 'before'
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  t.ok(rig.timers > 0)
  rig.operator.stop()
  t.match(await left, /again|stopping/)
  rig.setServing(true)
  await settle()
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.timers, 0)
})

t.test('live, nothing is being watched: there are no timers', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.inFlight = 1
  rig.operator.enter({ by: 'SIGUSR1' })
  await rig.operator.leave({ by })
  t.equal(rig.timers, 0)
})
