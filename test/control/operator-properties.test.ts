// What must hold whatever comes in whatever order: entering, leaving, requests, an application that comes and goes,
// a disk that fails, time that passes, and a reopening check.

import fc from 'fast-check'
import t from 'tap'
import { inMaintenance, live, Rig, settle, type DiskFailure } from '../helpers/operator-rig.ts'

t.setTimeout(60_000)

type Step =
  | { do: 'enter', holder: string }
  | { do: 'leave', holder: string | undefined, force: boolean }
  | { do: 'serving', is: boolean }
  | { do: 'disk', failure: DiskFailure, canDisown: boolean }
  | { do: 'admit' | 'finish' | 'settle' | 'answer hooks' | 'fail check' | 'pass check' }
  | { do: 'advance', ms: number }

const holder = fc.constantFrom('operator', 'migration', 'window')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('enter' as const), holder }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('leave' as const),
      holder: fc.option(holder, { nil: undefined, freq: 2 }),
      force: fc.boolean()
    })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('serving' as const), is: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('disk' as const), failure: fc.constantFrom<DiskFailure>('none', 'before', 'after'), canDisown: fc.boolean()
    })
  },
  { weight: 4, arbitrary: fc.constantFrom<Step>({ do: 'admit' }, { do: 'finish' }) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Step>({ do: 'settle' }, { do: 'answer hooks' }, { do: 'fail check' }, { do: 'pass check' })
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 10, 1_000, 10_000) }) }
)

/** Plays steps against an operator, and throws where something does not hold. */
class Play {
  readonly rig: Rig
  /** Who wants maintenance, by what was asked: nobody may open while there is one. */
  readonly claims = new Set<string>()
  #hooks: Array<() => void> = []
  #checks: Array<(saw: string | undefined) => void> = []
  #drainedSinceEntered = 0
  /** What did not hold in the middle of something: thrown there, the operator would take it for a failing disk. */
  #broken: string | undefined

  constructor (startsLive: boolean, isServing: boolean, hasCheck: boolean) {
    if (!startsLive) this.claims.add('operator')
    this.rig = new Rig({
      state: startsLive ? live() : inMaintenance(),
      isServing,
      ...hasCheck && {
        check: async signal => await new Promise<string | undefined>((resolve, reject) => {
          this.#checks.push(resolve)
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        })
      }
    })
    this.rig.hooks = async () => await new Promise(resolve => this.#hooks.push(() => resolve([])))
    this.rig.watch = what => this.#watch(what)
    this.rig.operator.resume()
  }

  async take (step: Step): Promise<void> {
    const { rig } = this
    const { operator } = rig
    switch (step.do) {
      case 'enter':
        this.claims.add(step.holder)
        operator.enter({ by: 'test', holder: step.holder })
        must(rig.mode === 'maintenance', 'entering takes effect before it returns')
        break
      case 'leave':
        if (step.holder === undefined) this.claims.clear()
        else this.claims.delete(step.holder)
        // Not awaited: it may wait for long, and what comes next comes meanwhile.
        operator.leave({ by: 'test', force: step.force, ...step.holder !== undefined && { holder: step.holder } })
        break
      case 'serving': rig.setServing(step.is); break
      case 'disk':
        rig.diskFailure = step.failure
        rig.canDisown = step.canDisown
        break
      case 'admit': rig.admit(); break
      case 'finish': rig.finish(); break
      case 'settle': await settle(); break
      case 'answer hooks': for (const answer of this.#hooks.splice(0)) answer(); break
      case 'fail check': for (const answer of this.#checks.splice(0)) answer('down'); break
      case 'pass check': for (const answer of this.#checks.splice(0)) answer(undefined); break
      case 'advance': await rig.advance(step.ms)
    }
    this.#lookAfterStep()
  }

  /** Lets everything that is under way come to its end. */
  async rest (): Promise<void> {
    const calm: Step[] = [{ do: 'disk', failure: 'none', canDisown: false }, { do: 'serving', is: true }]
    while (this.rig.inFlight > 0) this.rig.finish()
    for (const step of calm) await this.take(step)
    for (let i = 0; i < 4; i++) {
      for (const step of ['settle', 'pass check', 'answer hooks', 'settle'] as const) await this.take({ do: step })
      await this.take({ do: 'advance', ms: 10_000 })
    }
  }

  /** In the middle of what the operator does. */
  #watch (what: string): void {
    const { rig } = this
    switch (what) {
      case 'switch live':
        this.#note(rig.disk?.mode === 'live', 'the record says live before the switch does')
        this.#note(rig.isServing, 'the application serves when it opens')
        this.#note(this.claims.size === 0, 'nobody wants maintenance any more')
        break
      case 'record live':
        this.#note(this.claims.size === 0, 'the record says live only after everybody who entered has left')
        break
      case 'switch maintenance':
        this.#drainedSinceEntered = 0
        break
      case 'maintenance-drained':
        this.#note(rig.mode === 'maintenance', 'drained is a fact about maintenance')
        this.#note(rig.inFlight === 0, 'nothing is in flight when drained is told')
        this.#note(++this.#drainedSinceEntered === 1, 'drained is told once for each entering')
    }
  }

  #note (holds: boolean, what: string): void {
    if (!holds) this.#broken ??= what
  }

  #lookAfterStep (): void {
    const { rig, claims } = this
    const { status } = rig.operator
    must(this.#broken === undefined, this.#broken ?? '')
    must(status.mode === rig.mode, 'the status tells the mode of the switch')
    if (claims.size > 0) must(rig.mode === 'maintenance', 'maintenance stays on while somebody wants it')
    if (rig.mode === 'live') must(rig.disk?.mode === 'live', 'the switch is not live while the record says maintenance')
    if (rig.mode === 'maintenance') must(rig.hasWitness, 'the second witness is set while maintenance is on')
    if (status.durable) must(rig.disk?.mode !== 'live' || rig.mode === 'live', 'what is called durable is on the disk, or in doubt')
    if (status.recorded) must(rig.disk?.mode === rig.mode && rig.disk.holders.length === status.holders.length, 'what is called recorded is on the disk')
    if (status.drained) must(rig.inFlight === 0 && rig.mode === 'maintenance', 'drained stays true')
    if (status.drained) must(this.#drainedSinceEntered === 1, 'drained is told when it is so')
  }

  get drainedSinceEntered (): number {
    return this.#drainedSinceEntered
  }
}

function must (holds: boolean, what: string): void {
  if (!holds) throw new Error(`does not hold: ${what}`)
}

const play = fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.array(step, { maxLength: 40 }))

t.test('in every order the site is never open while somebody wants it closed, or the record says closed', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(play, async ([startsLive, isServing, hasCheck, steps]) => {
    const play = new Play(startsLive, isServing, hasCheck)
    for (const step of steps) await play.take(step)
    await play.rest()
  }), { numRuns: 1500 }))
})

t.test('after every order one more enter is drained, on the disk, and told exactly once', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(play, async ([startsLive, isServing, hasCheck, steps]) => {
    const play = new Play(startsLive, isServing, hasCheck)
    for (const step of steps) await play.take(step)
    await play.take({ do: 'enter', holder: 'operator' })
    await play.rest()
    const { mode, durable, drained, leaving } = play.rig.operator.status
    must(mode === 'maintenance' && durable && drained && !leaving, 'it came to rest')
    must(play.drainedSinceEntered === 1, 'drained was told exactly once')
    must(play.rig.disk?.mode === 'maintenance', 'the disk says so')
  }), { numRuns: 500 }))
})

t.test('after every order one more leave opens, and leaves no timer behind', async t => {
  await t.resolves(fc.assert(fc.asyncProperty(play, async ([startsLive, isServing, hasCheck, steps]) => {
    const play = new Play(startsLive, isServing, hasCheck)
    for (const step of steps) await play.take(step)
    await play.rest()
    await play.take({ do: 'leave', holder: undefined, force: false })
    await play.rest()
    must(play.rig.mode === 'live' && play.rig.disk?.mode === 'live', 'it is open')
    must(!play.rig.hasWitness, 'the second witness is gone')
    must(play.rig.timers === 0, 'there are no timers')
  }), { numRuns: 500 }))
})
