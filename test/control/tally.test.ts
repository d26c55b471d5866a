import fc from 'fast-check'
import t from 'tap'
import { Tally } from '../../src/control/tally.ts'
import { allocateSwitch, Gate, Switch } from '../../src/maintenance/switch.ts'

const WRAP = 2 ** 32

t.test('it adds up all workers', async t => {
  const memory = allocateSwitch(3)
  const theSwitch = new Switch(memory)
  const tally = new Tally(3, worker => theSwitch.refused(worker))
  for (const worker of [0, 1, 1, 2, 2, 2]) new Gate(memory, worker).countRefused()
  t.equal(tally.total, 6)
  t.equal(tally.total, 6, 'reading does not count')
})

t.test('it counts from when it was made', async t => {
  const counters = [500]
  const tally = new Tally(1, worker => counters[worker] ?? 0)
  t.equal(tally.total, 0)
})

t.test('it goes on where a counter wraps around, and grows past it', async t => {
  const counters = [WRAP - 2]
  const tally = new Tally(1, worker => counters[worker] ?? 0)
  counters[0] = 3
  t.equal(tally.total, 5)
  for (let i = 0; i < 3; i++) {
    counters[0] = (counters[0] + (WRAP - 1)) % WRAP
    t.type(tally.total, 'number')
  }
  t.equal(tally.total, 5 + 3 * (WRAP - 1))
})

t.test('whatever the workers count between readings is the total', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(
    fc.array(fc.nat({ max: WRAP - 1 }), { minLength: 1, maxLength: 4 }),
    fc.array(fc.array(fc.nat({ max: WRAP - 1 }), { maxLength: 4 }), { maxLength: 20 }),
    (starts, rounds) => {
      const counters = [...starts]
      const tally = new Tally(counters.length, worker => counters[worker] ?? 0)
      let sum = 0
      for (const steps of rounds) {
        for (const [worker, step] of steps.slice(0, counters.length).entries()) {
          counters[worker] = ((counters[worker] ?? 0) + step) % WRAP
          sum += step
        }
        if (tally.total !== sum) return false
      }
      return true
    }
  )))
})
