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
  t.equal(rig.disk?.mode, 'maintenance')
  await settle()
  await rig.advance(60_000)
  t.equal(rig.disk?.mode, 'maintenance')
  t.equal(rig.operator.status.durable, true)
})

t.test('leaving waits until the application serves', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk?.mode, 'maintenance')
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
  t.equal(rig.disk?.mode, 'maintenance')
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
  t.equal(rig.disk?.mode, 'maintenance')
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

/** A check that answers when a test wants it, as often as it is asked. */
class SlowCheck {
  readonly #answers: Array<(saw: string | undefined) => void> = []

  readonly ask = async (signal: AbortSignal): Promise<string | undefined> => await new Promise((resolve, reject) => {
    this.#answers.push(resolve)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })

  get asked (): number {
    return this.#answers.length
  }

  pass (): void {
    this.#answers.at(-1)?.(undefined)
  }
}

for (const [what, interrupt, why] of [
  ['entering', (rig: Rig) => rig.operator.enter({ by: 'SIGUSR1' }), /asked for again/],
  ['stopping', (rig: Rig) => rig.operator.stop(), /^the service is stopping$/]
] as const) {
  t.test(`${what} while the check runs cancels the leave, and is not kept waiting by it`, async t => {
    const check = new SlowCheck()
    const rig = new Rig({ state: inMaintenance(), check: check.ask })
    rig.operator.resume()
    const left = rig.operator.leave({ by })
    await settle()
    t.equal(check.asked, 1)
    interrupt(rig)
    t.match(await left, why)
    t.equal(rig.count('leave-refused'), 0)
    check.pass()
    await settle()
    t.equal(rig.mode, 'maintenance')
    t.equal(rig.disk?.mode, 'maintenance')
  })
}

t.test('an application that goes away while the check runs is waited for again, and so is the check', async t => {
  const check = new SlowCheck()
  const rig = new Rig({ state: inMaintenance(), check: check.ask })
  rig.operator.resume()
  const left = rig.operator.leave({ by })
  await settle()
  rig.setServing(false)
  check.pass()
  await settle()
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.disk?.mode, 'maintenance')
  t.equal(rig.count('leave-waiting'), 1)
  rig.setServing(true)
  await settle()
  t.equal(check.asked, 2)
  t.equal(rig.mode, 'maintenance')
  check.pass()
  t.equal(await left, undefined)
  t.equal(rig.mode, 'live')
})

t.test('what goes wrong while the application is waited for refuses the leave, with the reason', async t => {
  const rig = new Rig({ state: inMaintenance(), isServing: false })
  rig.operator.resume()
  rig.waitFailure = new Error('EAGAIN')
  t.equal(await rig.operator.leave({ by }), 'EAGAIN')
  t.match(rig.last('leave-refused'), { by, reason: 'EAGAIN' })
  t.equal(rig.mode, 'maintenance')
  t.equal(rig.operator.status.leaving, false)
})

t.test('a check that cannot be made refuses the leave, with the reason', async t => {
  const rig = new Rig({ state: inMaintenance(), check: async () => { throw new Error('EMFILE') } })
  rig.operator.resume()
  t.equal(await rig.operator.leave({ by }), 'EMFILE')
  t.equal(rig.mode, 'maintenance')
})

for (const canDisown of [true, false]) {
  t.test(`a leave that a full disk refuses leaves a good record alone, ${canDisown ? '' : 'not '}being able to set it aside`, async t => {
    const state = inMaintenance()
    const rig = new Rig({ state })
    rig.operator.resume()
    Object.assign(rig, { diskFailure: 'before', canDisown })
    t.match(await rig.operator.leave({ by }), /no space left/)
    t.same(rig.disk, state)
    t.match(rig.operator.status, { mode: 'maintenance', durable: true, recorded: true })
    t.equal(rig.count('leave-refused'), 1)
    t.equal(rig.count('record-unwritable'), 0)
  })
}

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
  t.equal(other.disk?.mode, 'maintenance')
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
  t.equal(await left, 'the service is stopping')
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
