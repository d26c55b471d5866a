import t from 'tap'
import { Pulse } from '../../src/control/pulse.ts'

t.test('it tells for how long the beats have not changed', async t => {
  const pulse = new Pulse(1000)
  t.equal(pulse.silentMs(1, 1000), 0)
  t.equal(pulse.silentMs(1, 1400), 400)
  t.equal(pulse.silentMs(1, 4000), 3000)
  t.equal(pulse.silentMs(2, 4500), 0)
  t.equal(pulse.silentMs(2, 4600), 100)
})

t.test('any change is a beat, a counter that wraps around too', async t => {
  const pulse = new Pulse(0)
  pulse.silentMs(2 ** 31 - 1, 0)
  t.equal(pulse.silentMs(-(2 ** 31), 500), 0)
})

t.test('time that is excused is no silence, and what was silent before remains', async t => {
  const pulse = new Pulse(0)
  pulse.silentMs(7, 0)
  t.equal(pulse.silentMs(7, 3000), 3000)
  pulse.excuse(60_000)
  t.equal(pulse.silentMs(7, 63_100), 3100)
})

t.test('a beat that was felt within the time that is excused was not in the future', async t => {
  const pulse = new Pulse(0)
  t.equal(pulse.silentMs(7, 60_000), 0)
  pulse.excuse(60_000)
  t.equal(pulse.silentMs(7, 60_001), 0)
})
