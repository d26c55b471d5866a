import { EventEmitter } from 'node:events'
import t from 'tap'
import { catchSignals, type Intent } from '../../src/control/signals.ts'

function open () {
  const target = new EventEmitter()
  const clock = { nowMs: 1000 }
  const signals = catchSignals(target, () => clock.nowMs)
  const taken: Array<[Intent, string]> = []
  return { target, clock, taken, deliver: () => signals.deliver((intent, signal) => taken.push([intent, signal])) }
}

t.test('each signal is one intent', async t => {
  const { target, taken, deliver } = open()
  deliver()
  for (const signal of ['SIGUSR2', 'SIGUSR1', 'SIGHUP']) target.emit(signal)
  t.same(taken, [['leave', 'SIGUSR2'], ['enter', 'SIGUSR1'], ['reload', 'SIGHUP']])
})

t.test('signals that come before somebody takes them are kept, in order, and delivered once', async t => {
  const { target, taken, deliver } = open()
  target.emit('SIGUSR2')
  target.emit('SIGHUP')
  target.emit('SIGUSR1')
  t.same(taken, [])
  deliver()
  t.same(taken, [['leave', 'SIGUSR2'], ['reload', 'SIGHUP'], ['enter', 'SIGUSR1']])
  deliver()
  t.equal(taken.length, 3)
})

t.test('the listeners stay, whatever has come', async t => {
  const { target, deliver } = open()
  deliver()
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP']) {
    target.emit(signal)
    target.emit(signal)
    t.equal(target.listenerCount(signal), 1)
  }
})

t.test('SIGUSR2 that comes together with SIGUSR1 is in doubt: the kernel does not keep their order', async t => {
  const { target, taken, deliver } = open()
  deliver()
  target.emit('SIGUSR1')
  target.emit('SIGUSR2')
  t.same(taken.map(([intent]) => intent), ['enter', 'leave-in-doubt'])
})

for (const [ms, intent] of [[9, 'leave-in-doubt'], [10, 'leave']] as const) {
  t.test(`SIGUSR2 that comes ${ms} ms after SIGUSR1 is ${intent === 'leave' ? 'an order' : 'in doubt: it may have been sent before it'}`, async t => {
    const { target, clock, taken, deliver } = open()
    deliver()
    target.emit('SIGUSR1')
    clock.nowMs += ms
    target.emit('SIGUSR2')
    t.same(taken, [['enter', 'SIGUSR1'], [intent, 'SIGUSR2']])
  })
}

t.test('SIGUSR2 before SIGUSR1 is not in doubt: what was asked for last is done last', async t => {
  const { target, taken, deliver } = open()
  deliver()
  target.emit('SIGUSR2')
  target.emit('SIGUSR1')
  t.same(taken.map(([intent]) => intent), ['leave', 'enter'])
})
