import t from 'tap'
import { live, Rig, settle } from '../helpers/operator-rig.ts'

const by = 'test'
const MINUTE = 60_000

/** An end so long from the start of the rig's clock. */
function endIn (ms: number): { at: Date, countsBy: 'duration' } {
  return { at: new Date(live().since.getTime() + 1000 + ms), countsBy: 'duration' }
}

function names ({ operator }: Rig): string[] {
  return operator.status.holders.map(({ name }) => name)
}

function start (check?: () => Promise<string | undefined>): Rig {
  const rig = new Rig(check === undefined ? {} : { check })
  rig.operator.resume()
  return rig
}

t.test('a holder that joins is told as such, and maintenance ends with the last', async t => {
  const rig = start()
  rig.operator.enter({ by, holder: 'a' })
  rig.operator.enter({ by, holder: 'b', reason: 'backup' })
  t.match(rig.last('maintenance-joined'), { holder: 'b', reason: 'backup' })
  t.same(rig.disk?.holders.map(({ name }) => name), ['a', 'b'])
  t.equal(await rig.operator.leave({ by, holder: 'a' }), undefined)
  t.match(rig.last('maintenance-released'), { holder: 'a', remaining: 'b' })
  t.equal(rig.mode, 'maintenance')
  t.same(rig.disk?.holders.map(({ name }) => name), ['b'])
  t.equal(await rig.operator.leave({ by, holder: 'b' }), undefined)
  t.equal(rig.mode, 'live')
})

t.test('a claim that nobody has made cannot be given back', async t => {
  const rig = start()
  rig.operator.enter({ by, holder: 'a' })
  await rig.operator.leave({ by, holder: 'b' })
  t.same(names(rig), ['a'])
  t.equal(rig.names().at(-1), 'maintenance-unchanged')
})

t.test('entering again changes what is given, on the disk too', async t => {
  const rig = start()
  rig.operator.enter({ by, reason: 'one', message: 'first' })
  rig.operator.enter({ by, message: 'second' })
  t.match(rig.last('maintenance-updated'), { holder: 'operator' })
  t.match(rig.disk?.holders, [{ reason: 'one', message: 'second' }])
})

t.test('who enters while all are leaving stays alone: the claims of the others are ended', async t => {
  let pass = (): void => {}
  const rig = start(async () => await new Promise(resolve => { pass = () => resolve(undefined) }))
  rig.operator.enter({ by, holder: 'a' })
  rig.operator.enter({ by, holder: 'b' })
  const left = rig.operator.leave({ by })
  await settle()
  rig.operator.enter({ by, holder: 'a' })
  pass()
  t.match(await left, /asked for again/)
  t.same(names(rig), ['a'])
  t.match(rig.last('maintenance-released'), { holder: 'b', remaining: 'a' })
})

t.test('an end with open opens without the check, and says who did', async t => {
  const rig = start(async () => 'down')
  rig.operator.enter({ by, end: { ...endIn(MINUTE), then: 'open' } })
  await rig.advance(MINUTE - 1000)
  t.equal(rig.mode, 'maintenance')
  await rig.advance(2000)
  t.equal(rig.mode, 'live')
  t.match(rig.last('maintenance-left'), { by: 'the end time', forced: true })
})

t.test('an end with check asks until the check passes', async t => {
  let saw: string | undefined = 'connection refused'
  const rig = start(async () => saw)
  rig.operator.enter({ by, end: { ...endIn(MINUTE), then: 'check' } })
  await rig.advance(MINUTE + 65_000)
  t.equal(rig.count('leave-refused'), 3, 'at the end, and every half minute')
  t.match(rig.last('leave-refused'), { by: 'the end time', reason: /connection refused/ })
  saw = undefined
  await rig.advance(30_000)
  t.equal(rig.mode, 'live')
  t.match(rig.last('maintenance-left'), { forced: false })
})

t.test('an end with stay complains every five minutes, and stays', async t => {
  const rig = start()
  rig.operator.enter({ by, end: endIn(MINUTE) })
  await rig.advance(12 * MINUTE)
  t.equal(rig.count('maintenance-overdue'), 3)
  t.match(rig.last('maintenance-overdue'), { holder: 'operator', until: endIn(MINUTE).at })
  t.equal(rig.mode, 'maintenance')
})

t.test('a claim that was given back while a leave of all waits is not given back again when that is cancelled', async t => {
  const rig = new Rig({ isServing: false })
  rig.operator.resume()
  for (const holder of ['a', 'b']) rig.operator.enter({ by, holder })
  rig.operator.leave({ by })
  await settle()
  await rig.operator.leave({ by, holder: 'a' })
  rig.operator.enter({ by, holder: 'c' })
  t.same(rig.events.flatMap(event => event.event === 'maintenance-released' ? [event.holder] : []), ['a', 'b'])
  t.same(names(rig), ['c'])
})

t.test('an end that passes while another holds it gives back its own claim only', async t => {
  const rig = start()
  rig.operator.enter({ by, holder: 'a', end: { ...endIn(MINUTE), then: 'open' } })
  rig.operator.enter({ by, holder: 'b' })
  await rig.advance(2 * MINUTE)
  t.same(names(rig), ['b'])
  t.equal(rig.mode, 'maintenance')
})

t.test('an end that is put off is due when the new one has come', async t => {
  const rig = start()
  rig.operator.enter({ by, end: { ...endIn(MINUTE), then: 'open' } })
  await rig.advance(30_000)
  rig.operator.enter({ by, end: endIn(3 * MINUTE) })
  await rig.advance(2 * MINUTE)
  t.equal(rig.mode, 'maintenance')
  await rig.advance(MINUTE)
  t.equal(rig.mode, 'live', 'and what then is as it was')
})

t.test('who enters after an end that could not be acted on, and names no other, stays', async t => {
  const rig = new Rig({ isServing: false })
  rig.operator.resume()
  rig.operator.enter({ by, end: { ...endIn(MINUTE), then: 'open' } })
  await rig.advance(2 * MINUTE)
  t.equal(rig.count('leave-waiting'), 1)
  rig.operator.enter({ by: 'SIGUSR1' })
  rig.setServing(true)
  await rig.advance(10 * MINUTE)
  t.equal(rig.mode, 'maintenance')
  t.same(rig.disk?.holders.map(({ end }) => end), [undefined])
})
