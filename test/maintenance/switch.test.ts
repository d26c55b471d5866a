import t from 'tap'
import { allocateSwitch, Gate, Switch, type Mode } from '../../src/maintenance/switch.ts'

const MODES: readonly Mode[] = ['live', 'read-only', 'maintenance']

function open (workers = 1) {
  const memory = allocateSwitch(workers)
  return { memory, theSwitch: new Switch(memory), gates: Array.from({ length: workers }, (_, slot) => new Gate(memory, slot)) }
}

function openOne () {
  const { memory, theSwitch, gates: [gate] } = open()
  if (gate === undefined) throw new Error('no gate')
  return { memory, theSwitch, gate }
}

/** What the switch promises, said without it. */
function admits (mode: Mode, safe: boolean): boolean {
  return mode === 'live' || (mode === 'read-only' && safe)
}

t.test('a new switch is live and nothing is in flight', async t => {
  const { theSwitch, gate } = openOne()
  t.equal(theSwitch.mode, 'live')
  t.equal(gate.mode, 'live')
  t.equal(theSwitch.inFlight('live'), 0)
})

t.test('it has as many slots as were asked for', async t => {
  t.equal(open(7).theSwitch.workers, 7)
})

t.test('each mode is seen by every gate, in every copy', async t => {
  const { memory, theSwitch, gates } = open(3)
  for (const mode of [...MODES, ...MODES.toReversed()]) {
    theSwitch.mode = mode
    t.same([theSwitch.mode, new Switch(memory).mode, ...gates.map(gate => gate.mode)], Array(5).fill(mode))
  }
})

t.test('a mode nobody has heard of is maintenance', async t => {
  const { memory, theSwitch, gate } = openOne()
  new Int32Array(memory)[0] = 99
  t.equal(theSwitch.mode, 'maintenance')
  t.equal(gate.mode, 'maintenance')
  t.notOk(gate.admit(true))
})

for (const mode of MODES) {
  for (const safe of [true, false]) {
    const verb = admits(mode, safe) ? 'admitted' : 'refused'
    t.test(`${mode}: what is ${safe ? 'safe' : 'unsafe'} is ${verb}`, async t => {
      const { theSwitch, gate } = openOne()
      theSwitch.mode = mode
      t.equal(gate.admit(safe), admits(mode, safe))
      t.equal(theSwitch.inFlight('live'), admits(mode, safe) ? 1 : 0)
    })
  }
}

t.test('read-only waits for what is unsafe, the other modes for everything', async t => {
  const { theSwitch, gate } = openOne()
  gate.admit(true)
  gate.admit(true)
  gate.admit(false)
  t.same(MODES.map(mode => theSwitch.inFlight(mode)), [3, 1, 3])
  t.equal(gate.inFlight, 3)
  gate.release(false)
  t.same(MODES.map(mode => theSwitch.inFlight(mode)), [2, 0, 2])
})

t.test('what was admitted before stays in flight when the mode changes', async t => {
  const { theSwitch, gate } = openOne()
  gate.admit(false)
  theSwitch.mode = 'maintenance'
  t.equal(theSwitch.inFlight('maintenance'), 1)
  gate.release(false)
  t.equal(theSwitch.inFlight('maintenance'), 0)
})

t.test('counts are told for one worker and for all', async t => {
  const { theSwitch, gates } = open(3)
  gates[0]?.admit(true)
  gates[2]?.admit(true)
  gates[2]?.admit(false)
  t.same([0, 1, 2].map(worker => theSwitch.inFlight('live', worker)), [1, 0, 2])
  t.same([0, 1, 2].map(worker => theSwitch.inFlight('read-only', worker)), [0, 0, 1])
  t.equal(theSwitch.inFlight('live'), 3)
})

t.test('what an ended worker had in flight is forgotten, and nothing else', async t => {
  const { theSwitch, gates } = open(2)
  for (const gate of gates) {
    gate.admit(true)
    gate.admit(false)
    gate.countRefused()
    gate.beat(0)
  }
  theSwitch.mode = 'read-only'
  theSwitch.forget(0)
  t.same([0, 1].map(worker => theSwitch.inFlight('live', worker)), [0, 2])
  t.same([0, 1].map(worker => theSwitch.refused(worker)), [1, 1])
  t.same([0, 1].map(worker => theSwitch.beats(worker)), [1, 1])
  t.equal(theSwitch.mode, 'read-only')
})

t.test('refusals are counted by worker', async t => {
  const { theSwitch, gates } = open(2)
  gates[1]?.countRefused()
  gates[1]?.countRefused()
  t.same([theSwitch.refused(0), theSwitch.refused(1)], [0, 2])
})

t.test('refusals are positive past 2^31 and wrap around at 2^32, so that differences stay right', async t => {
  const { memory, theSwitch, gate } = openOne()
  const words = new Int32Array(memory)
  gate.countRefused()
  const index = words.indexOf(1)
  words[index] = 2 ** 31 - 1
  gate.countRefused()
  t.equal(theSwitch.refused(0), 2 ** 31)

  words[index] = -1
  const before = theSwitch.refused(0)
  t.equal(before, 2 ** 32 - 1)
  gate.countRefused()
  gate.countRefused()
  t.equal(theSwitch.refused(0), 1)
  t.equal((theSwitch.refused(0) - before) >>> 0, 2)
})

t.test('refusing counts nothing by itself and leaves nothing in flight', async t => {
  const { theSwitch, gate } = openOne()
  theSwitch.mode = 'maintenance'
  gate.admit(true)
  gate.admit(false)
  t.equal(theSwitch.inFlight('live'), 0)
  t.equal(theSwitch.refused(0), 0)
})

t.test('beats change and have nothing to do with the counts', async t => {
  const { theSwitch, gate } = openOne()
  const before = theSwitch.beats(0)
  gate.beat(0)
  t.not(theSwitch.beats(0), before)
  t.equal(theSwitch.inFlight('live'), 0)
})

t.test('a beat tells how late it was', async t => {
  const { theSwitch, gate } = openOne()
  t.equal(theSwitch.lagMs(0), 0)
  gate.beat(12.4)
  t.equal(theSwitch.lagMs(0), 12)
  gate.beat(0)
  t.equal(theSwitch.lagMs(0), 0)
})

t.test('admissions are counted by worker, refusals and releases are not', async t => {
  const { theSwitch, gates } = open(2)
  gates[1]?.admit(true)
  gates[1]?.admit(false)
  gates[1]?.release(false)
  theSwitch.mode = 'maintenance'
  gates[1]?.admit(false)
  t.same([theSwitch.admitted(0), theSwitch.admitted(1)], [0, 2])
})

t.test('workers share no cache line, with each other or with the mode', async t => {
  const { memory, theSwitch, gates } = open(4)
  const words = new Int32Array(memory)
  const linesWrittenBy = (write: () => void): number[] => {
    words.fill(0)
    write()
    return [...new Set([...words.keys()].filter(word => words[word] !== 0).map(word => Math.floor(word * 4 / 64)))]
  }
  const used = [linesWrittenBy(() => { theSwitch.mode = 'maintenance' })]
  for (const gate of gates) {
    used.push(linesWrittenBy(() => {
      gate.admit(true)
      gate.admit(false)
      gate.countRefused()
      gate.beat(1)
    }))
  }
  t.same(used.map(lines => lines.length), Array(5).fill(1))
  t.equal(new Set(used.flat()).size, 5)
})
