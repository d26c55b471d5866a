import t from 'tap'
import { inMaintenance, live, Rig, settle } from '../helpers/operator-rig.ts'

const by = 'SIGUSR1'

t.test('entering writes the record before it sets the switch', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.deeds.length = 0
  rig.operator.enter({ by })
  t.same(rig.deeds, ['record maintenance', 'switch maintenance'])
})

t.test('leaving writes the record before it sets the switch', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.operator.resume()
  rig.deeds.length = 0
  await rig.operator.leave({ by })
  t.same(rig.deeds, ['record live', 'switch live'])
})

t.test('it starts in the mode that the record has told, before anything else', async t => {
  t.equal(new Rig({ state: inMaintenance() }).mode, 'maintenance')
  t.equal(new Rig({ state: live() }).mode, 'live')
})

t.test('resuming makes the state durable', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.disk = live()
  rig.operator.resume()
  t.equal(rig.disk?.mode, 'maintenance')
  t.equal(rig.hasWitness, true)
})

for (const [mode, state] of [['maintenance', inMaintenance()], ['live', live()]] as const) {
  t.test(`${mode} that stands on the disk already is durable, though nothing can be written`, async t => {
    const rig = new Rig({ state })
    Object.assign(rig, { diskFailure: 'before', canDisown: true })
    rig.operator.resume()
    t.same(rig.disk, state)
    t.match(rig.operator.status, { mode, durable: true, recorded: true })
    t.equal(rig.hasWitness, mode === 'maintenance')
    t.same(rig.names(), [])
    t.same(rig.deeds, [`switch ${mode}`], 'and is not written again')
  })
}

t.test('entering says who asked, what is in flight and that it is durable', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.inFlight = 3
  rig.operator.enter({ by })
  t.match(rig.last('maintenance-entered'), { by, inFlight: 3, durable: true, holder: 'operator' })
  t.match(rig.operator.status, { mode: 'maintenance', by, inFlight: 3, drained: false, durable: true, leaving: false })
})

t.test('entering again changes nothing and says so', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.operator.enter({ by })
  await settle()
  const before = structuredClone(rig.disk)
  await rig.advance(5000)
  rig.operator.enter({ by: 'somebody else' })
  t.same(rig.disk, before)
  t.equal(rig.names().at(-1), 'maintenance-unchanged')
  t.equal(rig.count('maintenance-entered'), 1)
})

t.test('leaving while live changes nothing and says so', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.deeds.length = 0
  t.equal(await rig.operator.leave({ by }), undefined)
  t.same(rig.deeds, [])
  t.same(rig.names(), ['maintenance-unchanged'])
})

t.test('leaving says who asked and how long maintenance lasted', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.operator.enter({ by })
  await rig.advance(90_000)
  await rig.operator.leave({ by: 'SIGUSR2' })
  t.match(rig.last('maintenance-left'), { by: 'SIGUSR2', lastedMs: 90_000 })
})

t.test('drained is told when the last one in flight is over, with how long it took', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.inFlight = 2
  rig.operator.enter({ by })
  await rig.advance(100)
  rig.finish()
  await rig.advance(100)
  t.equal(rig.count('maintenance-drained'), 0)
  t.equal(rig.operator.status.drained, false)
  rig.finish()
  await rig.advance(100)
  const [drained] = rig.events.flatMap(event => event.event === 'maintenance-drained' ? [event.tookMs] : [])
  t.ok(drained !== undefined && drained >= 200 && drained < 300, `it took ${drained} ms`)
  t.equal(rig.operator.status.drained, true)
})

t.test('drained is told once, whatever comes after', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.operator.enter({ by })
  await rig.advance(1000)
  rig.operator.enter({ by })
  rig.operator.enter({ by, holder: 'another' })
  await rig.advance(60_000)
  t.equal(rig.count('maintenance-drained'), 1)
})

t.test('drained is told after a start in maintenance too', async t => {
  const rig = new Rig({ state: inMaintenance() })
  rig.operator.resume()
  await rig.advance(100)
  t.equal(rig.count('maintenance-drained'), 1)
})

t.test('a drain that was left before its end is never told, not even when maintenance is entered again', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.admit()
  rig.operator.enter({ by })
  await rig.operator.leave({ by })
  rig.finish()
  await rig.advance(1000)
  t.equal(rig.count('maintenance-drained'), 0)
  rig.admit()
  rig.operator.enter({ by })
  await rig.advance(1000)
  t.equal(rig.count('maintenance-drained'), 0)
  rig.finish()
  await rig.advance(1000)
  t.equal(rig.count('maintenance-drained'), 1)
})

t.test('hooks that end only after maintenance was left and entered again tell nothing of the new one', async t => {
  const rig = new Rig()
  rig.operator.resume()
  const ends: Array<() => void> = []
  rig.hooks = async () => await new Promise(resolve => ends.push(() => resolve([])))
  rig.operator.enter({ by })
  await settle()
  await rig.operator.leave({ by })
  rig.admit()
  rig.operator.enter({ by })
  ends[0]?.()
  await rig.advance(1000)
  t.equal(rig.count('maintenance-drained'), 0)
})

t.test('a record that cannot be written does not keep it from entering, and is told', async t => {
  for (const failure of ['before', 'after'] as const) {
    const rig = new Rig()
    rig.operator.resume()
    rig.diskFailure = failure
    rig.operator.enter({ by })
    t.equal(rig.mode, 'maintenance')
    t.match(rig.last('record-unwritable'), { reason: /space|synced/ })
    t.match(rig.last('maintenance-entered'), { durable: false })
    t.equal(rig.operator.status.durable, false)
    t.equal(rig.hasWitness, true)
  }
})

t.test('a record that could not be written is tried again until it is, and said once each', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.diskFailure = 'before'
  rig.operator.enter({ by })
  await rig.advance(60_000)
  t.equal(rig.count('record-unwritable'), 1)
  t.equal(rig.disk?.mode, 'live')
  rig.diskFailure = 'none'
  await rig.advance(60_000)
  t.equal(rig.count('record-written'), 1)
  t.equal(rig.disk?.mode, 'maintenance')
  t.equal(rig.operator.status.durable, true)
})

t.test('entering again tries the record that could not be written at once', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.diskFailure = 'before'
  rig.operator.enter({ by })
  rig.diskFailure = 'none'
  rig.operator.enter({ by })
  t.equal(rig.disk?.mode, 'maintenance')
  t.equal(rig.timers, 0)
})

t.test('where the old record can be set aside a reboot stays in maintenance, and the status says that it is not written', async t => {
  const rig = new Rig()
  rig.operator.resume()
  rig.diskFailure = 'before'
  rig.canDisown = true
  rig.operator.enter({ by })
  t.match(rig.last('record-unwritable'), { survivesReboot: true })
  t.match(rig.operator.status, { mode: 'maintenance', durable: true, recorded: false })
})
