import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import t from 'tap'
import { allocateSwitch, Gate, Switch, type Mode } from '../../src/maintenance/switch.ts'
import { ADMITTED, DRAINED, REFUSED, SEEN, STOP, VIOLATIONS, WORDS, type HammerData } from './hammer.ts'

const MODES: readonly Mode[] = ['live', 'read-only', 'maintenance']

function open (workers = 1) {
  const memory = allocateSwitch(workers)
  return { memory, theSwitch: new Switch(memory), gates: Array.from({ length: workers }, (_, slot) => new Gate(memory, slot)) }
}

/** What the switch promises, said without it. */
function admits (mode: Mode, safe: boolean): boolean {
  return mode === 'live' || (mode === 'read-only' && safe)
}

t.test('property: in any sequence, every admission and count is what the mode says', async t => {
  const action = fc.oneof(
    fc.record({ do: fc.constant('set' as const), mode: fc.constantFrom(...MODES) }),
    fc.record({ do: fc.constant('admit' as const), worker: fc.nat(2), safe: fc.boolean() }),
    fc.record({ do: fc.constant('release' as const), which: fc.nat() }),
    fc.record({ do: fc.constant('refuse' as const), worker: fc.nat(2) }),
    fc.record({ do: fc.constant('forget' as const), worker: fc.nat(2) })
  )
  fc.assert(fc.property(fc.array(action, { maxLength: 60 }), actions => {
    const { theSwitch, gates } = open(3)
    let mode: Mode = 'live'
    let admitted: { worker: number, safe: boolean }[] = []
    const refused = [0, 0, 0]
    for (const step of actions) {
      switch (step.do) {
        case 'set':
          theSwitch.mode = mode = step.mode
          break
        case 'admit':
          if (gates[step.worker]?.admit(step.safe) !== admits(mode, step.safe)) return false
          if (admits(mode, step.safe)) admitted.push(step)
          break
        case 'release': {
          const [over] = admitted.splice(step.which % (admitted.length || 1), 1)
          if (over !== undefined) gates[over.worker]?.release(over.safe)
          break
        }
        case 'refuse':
          gates[step.worker]?.countRefused()
          refused[step.worker] = (refused[step.worker] ?? 0) + 1
          break
        case 'forget':
          theSwitch.forget(step.worker)
          admitted = admitted.filter(({ worker }) => worker !== step.worker)
      }
      for (const worker of [0, 1, 2]) {
        const own = admitted.filter(one => one.worker === worker)
        if (theSwitch.inFlight('live', worker) !== own.length) return false
        if (theSwitch.inFlight('read-only', worker) !== own.filter(({ safe }) => !safe).length) return false
        if (theSwitch.refused(worker) !== refused[worker]) return false
      }
    }
    return true
  }))
  t.pass('held in every sequence')
})

t.test('property: once drained was seen, nothing is admitted until the mode changes, however steps interleave', async t => {
  // Before each atomic step of whoever runs, others may take any number of steps of their own, which are interrupted
  // in the same way: what other threads can do between two steps.
  const action = fc.oneof(
    { weight: 14, arbitrary: fc.constant({ do: 'go-on' as const }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('set' as const), mode: fc.constantFrom(...MODES) }) },
    { weight: 3, arbitrary: fc.constant({ do: 'look' as const }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('admit' as const), worker: fc.nat(1), safe: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat() }) }
  )
  fc.assert(fc.property(fc.array(action, { maxLength: 100, size: 'max' }), actions => {
    const { theSwitch, gates } = open(2)
    const admitted: { worker: number, safe: boolean }[] = []
    const left = [...actions]
    // There is one operator: it takes no second step while it is in the middle of one.
    let operatorIsBusy = false
    let mode: Mode = 'live'
    let isDrained = false
    let violation = ''

    const interrupt = (): void => {
      for (let step = left.shift(); step !== undefined && step.do !== 'go-on'; step = left.shift()) take(step)
    }
    const take = (step: typeof actions[number]): void => {
      if (step.do === 'set' || step.do === 'look') {
        if (operatorIsBusy) return
        operatorIsBusy = true
        if (step.do === 'set') {
          isDrained = false
          theSwitch.mode = mode = step.mode
        } else {
          const count = theSwitch.inFlight(mode)
          if (count < 0) violation = 'a negative count'
          isDrained = count === 0
          if (isDrained && admitted.some(({ safe }) => !admits(mode, safe))) violation = 'zero seen while one was in flight'
        }
        operatorIsBusy = false
      } else if (step.do === 'admit') {
        if (gates[step.worker]?.admit(step.safe) !== true) return
        if (isDrained && !admits(mode, step.safe)) violation = 'admitted after zero was seen'
        admitted.push(step)
      } else if (step.do === 'release') {
        const [over] = admitted.splice(step.which % (admitted.length || 1), 1)
        if (over !== undefined) gates[over.worker]?.release(over.safe)
      }
    }

    betweenAtomicSteps(interrupt, () => { while (left.length > 0) interrupt() })
    if (violation !== '') throw new Error(violation)
    return theSwitch.inFlight('live') === admitted.length
  }), { numRuns: 3000 })
  t.pass('held in every interleaving')
})

/** Calls `interrupt` before each atomic operation while `run` runs. */
function betweenAtomicSteps (interrupt: () => void, run: () => void): void {
  const { load, store, add, sub } = Atomics
  const interrupted = <F extends (...args: never[]) => unknown>(operation: F): F => ((...args: Parameters<F>) => {
    interrupt()
    return operation(...args)
  }) as F
  Object.assign(Atomics, {
    load: interrupted(load), store: interrupted(store), add: interrupted(add), sub: interrupted(sub)
  })
  try {
    run()
  } finally {
    Object.assign(Atomics, { load, store, add, sub })
  }
}

t.test('threads: once drained was seen, nothing is admitted until the mode changes', async t => {
  const ROUNDS = 400
  const { memory, theSwitch } = open(2)
  const shared = new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT)
  const words = new Int32Array(shared)
  const workers = [0, 1].map(slot => {
    return new Worker(new URL('./hammer.ts', import.meta.url), { workerData: { memory, slot, shared } satisfies HammerData })
  })
  const ends = workers.map(worker => once(worker, 'exit'))
  // Atomics.wait gives the processor away, which spinning does not where there are fewer than threads.
  const giveWay = (): void => { Atomics.wait(words, STOP, 0, 0.01) }
  const passes = (word: number, by: number): void => {
    const target = Atomics.load(words, word) + by
    while (Atomics.load(words, word) < target) giveWay()
  }
  let negative = 0
  passes(ADMITTED, 1)
  for (let round = 0; round < ROUNDS; round++) {
    const mode = round % 2 === 0 ? 'maintenance' : 'read-only'
    theSwitch.mode = mode
    for (let count = theSwitch.inFlight(mode); count !== 0; count = theSwitch.inFlight(mode)) {
      if (count < 0) negative++
      giveWay()
    }
    Atomics.store(words, SEEN, DRAINED.indexOf(mode))
    passes(REFUSED, 20)
    Atomics.store(words, SEEN, DRAINED.indexOf('nothing'))
    theSwitch.mode = 'live'
    passes(ADMITTED, 5)
  }
  Atomics.store(words, STOP, 1)
  await Promise.all(ends)
  t.equal(Atomics.load(words, VIOLATIONS), 0)
  t.equal(negative, 0)
  t.equal(theSwitch.inFlight('live'), 0)
})
