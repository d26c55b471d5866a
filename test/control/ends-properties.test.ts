// What must hold in every order of holders that come and go, ends that pass, clocks that are set, an application that
// is ready or not, a check that passes or fails, a disk that fails, and restarts from the record.

import fc from 'fast-check'
import t from 'tap'
import { endings, type Ending } from '../../src/control/protocol.ts'
import { settle } from '../helpers/operator-rig.ts'
import { World } from './ends-world.ts'

t.setTimeout(60_000)

type Step =
  | { do: 'enter', holder: string, end: { inMs: number, then: Ending, countsBy: 'clock' | 'duration' } | undefined }
  | { do: 'leave', holder: string | undefined, force: boolean }
  | { do: 'pass', ms: number }
  | { do: 'set clock', byMs: number }
  | { do: 'disk', fails: World['diskFails'] }
  | { do: 'serve' | 'go away' | 'pass check' | 'fail check' | 'restart' | 'request' | 'response' }

const holder = fc.constantFrom('operator', 'migration', 'window')
const countsBy = fc.constantFrom('clock' as const, 'duration' as const)
const end = fc.record({ inMs: fc.constantFrom(1_000, 10_000, 40_000), then: fc.constantFrom(...endings), countsBy })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('enter' as const), holder, end: fc.option(end, { nil: undefined, freq: 3 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('leave' as const),
      holder: fc.option(holder, { nil: undefined, freq: 2 }),
      force: fc.constantFrom(false, false, false, true)
    })
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(500, 1_000, 10_000, 31_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set clock' as const), byMs: fc.constantFrom(-3_600_000, -20_000, 20_000, 3_600_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), fails: fc.constantFrom<World['diskFails']>('no', 'full', 'not synced') }) },
  { weight: 4, arbitrary: fc.constantFrom<Step>({ do: 'pass check' }, { do: 'fail check' }) },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: 'serve' }, { do: 'go away' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'restart' }) },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'request' }, { do: 'response' }) }
)

async function take (world: World, step: Step): Promise<void> {
  switch (step.do) {
    case 'enter': world.enter(step.holder, step.end); break
    case 'leave': world.leave(step.holder, step.force); break
    case 'pass': await world.pass(step.ms); break
    case 'set clock': await world.setClock(step.byMs); break
    case 'disk': world.diskFails = step.fails; break
    case 'serve': world.setServing(true); break
    case 'go away': world.setServing(false); break
    case 'pass check': world.answerChecks(undefined); break
    case 'fail check': world.answerChecks('down'); break
    case 'restart': world.restart(); break
    case 'request': if (world.mode === 'live') world.inFlight++; break
    case 'response': world.inFlight = 0
  }
  await settle()
  world.look()
  if (world.broken !== undefined) throw new Error(`does not hold: ${world.broken}`)
}

/** All that may stand in the way is gone, and time passes. */
async function rest (world: World, ms: number): Promise<void> {
  world.diskFails = 'no'
  world.inFlight = 0
  await take(world, { do: 'serve' })
  for (let passed = 0; passed < ms; passed += 500) {
    world.answerChecks(undefined)
    await take(world, { do: 'pass', ms: 500 })
  }
}

const story = fc.tuple(fc.boolean(), fc.array(step, { maxLength: 30 }))

t.test('in every order it opens only when every claim has ended: left, or at an end with open or check', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(story, async ([hasCheck, steps]) => {
    const world = new World(hasCheck)
    for (const step of steps) await take(world, step)
  }), { numRuns: 2500 }))
})

t.test('after every order a claim with an end opens soon after it, and one with stay never does but complains', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(story, fc.constantFrom(...endings), countsBy, async ([hasCheck, steps], then, countsBy) => {
    const world = new World(hasCheck)
    for (const step of steps) await take(world, step)
    world.diskFails = 'no'
    world.leave(undefined, true)
    await rest(world, 1_000)
    if (world.mode !== 'live') throw new Error('does not hold: forced by everybody it opens')
    world.overdue.length = 0
    await take(world, { do: 'enter', holder: 'operator', end: { inMs: 10_000, then, countsBy } })
    await rest(world, 9_500)
    if (world.mode === 'live') throw new Error('does not hold: it stays on until the end')
    await rest(world, 2_000)
    if (then === 'stay' ? world.mode === 'live' || world.overdue.length !== 1 : world.mode !== 'live') {
      throw new Error(`does not hold: ${then} at the end; the mode is ${world.mode}`)
    }
  }), { numRuns: 300 }))
})

t.test('after every order a restart from the record is in the same mode, with the same holders', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(story, async ([hasCheck, steps]) => {
    const world = new World(hasCheck)
    for (const step of steps) await take(world, step)
    world.diskFails = 'no'
    // What could not be written is tried again.
    await take(world, { do: 'pass', ms: 10_500 })
    if (!world.operator.status.durable) throw new Error('does not hold: it is on the disk')
    await take(world, { do: 'restart' })
  }), { numRuns: 500 }))
})
