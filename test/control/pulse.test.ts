import t from 'tap'
import { Pulse } from '../../src/control/pulse.ts'

t.test('it tells for how long the beats have not changed', async t => {
  const pulse = new Pulse()
  pulse.reset(1000)
  t.equal(pulse.silentMs(1, 1000), 0)
  t.equal(pulse.silentMs(1, 1400), 400)
  t.equal(pulse.silentMs(1, 4000), 3000)
  t.equal(pulse.silentMs(2, 4500), 0)
  t.equal(pulse.silentMs(2, 4600), 100)
})

t.test('any change is a beat, a counter that wraps around too', async t => {
  const pulse = new Pulse()
  pulse.reset(0)
  pulse.silentMs(2 ** 31 - 1, 0)
  t.equal(pulse.silentMs(-(2 ** 31), 500), 0)
})

t.test('after a reset it is as if it had just beaten', async t => {
  const pulse = new Pulse()
  pulse.reset(0)
  pulse.silentMs(7, 0)
  t.equal(pulse.silentMs(7, 9000), 9000)
  pulse.reset(9000)
  t.equal(pulse.silentMs(7, 9100), 100)
})
