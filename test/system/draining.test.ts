// Waiting until nothing is in flight: myserverctl says so neither too early nor too late, and names what is left.

import { begin, bootWithSlowRequest, control, holdRequest, isDrained, isLive, release, untilControl } from './operating.ts'
import { logLines, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('while a request is in flight', async (t, suite) => {
  const machine = await bootWithSlowRequest(t, suite)
  t.afterEach(async () => {
    await release(machine)
    await machine.run('myserverctl off && rm -f /tmp/waiting')
  })

  await t.test('on --wait returns when it is over, and not before', async t => {
    const { answer } = await holdRequest(machine)
    const waiting = begin(machine, 'myserverctl on --wait >/tmp/waiting 2>&1')
    await machine.waitFor('cat /tmp/waiting', ({ stdout }) => stdout.includes('1 in flight'))
    t.match(await control(machine), { mode: 'maintenance', drained: false, inFlight: 1, stragglers: [{ what: 'GET /slow' }] })
    t.equal((await visit(machine)).status, 503)
    t.notOk(waiting.isOver())
    await release(machine)
    t.equal((await waiting.result).code, 0)
    t.ok(isDrained(await control(machine)))
    t.match(await answer, { status: 200, body: 'slow, but complete\n' })
  })

  await t.test('on --wait returns at once where there is none', async t => {
    t.match((await machine.run('myserverctl on --wait')).stdout, /^maintenance since .*, drained/m)
  })

  await t.test('on --wait=1s gives up, names it, and maintenance stays on', async t => {
    const { answer } = await holdRequest(machine)
    const { stderr } = await machine.run('myserverctl on --wait=1s', { expectCode: 1 })
    t.match(stderr, /not drained in time; maintenance stays on, 1 in flight\n +GET \/slow, \d+\.\d s \(worker 0\)/)
    t.match(await control(machine), { mode: 'maintenance', drained: false, inFlight: 1 })
    const waiting = begin(machine, 'myserverctl wait --drained --timeout 60s')
    await release(machine)
    t.equal((await waiting.result).code, 0)
    t.equal((await answer).status, 200)
  })

  await t.test('--cut ends its connection, and its handler counts until it settles', async t => {
    const { answer } = await holdRequest(machine)
    const { stderr } = await machine.run('myserverctl on --wait=1s --cut', { expectCode: 1 })
    t.match(stderr, /cut 1 connection/)
    await t.rejects(answer, /exit code (52|56)/, 'its client is told')
    t.match(await control(machine), { drained: false, inFlight: 1, stragglers: [{ what: 'GET /slow', clientGone: true }] })
    t.ok((await logLines(machine)).some(({ event }) => event === 'connections-cut'))
    await release(machine)
    await machine.run('myserverctl wait --drained --timeout 60s')
  })

  await t.test('waiting goes on over a restart of the service', async t => {
    await holdRequest(machine)
    const waiting = begin(machine, 'myserverctl on --wait >/tmp/waiting 2>&1')
    await machine.waitFor('cat /tmp/waiting', ({ stdout }) => stdout.includes('1 in flight'))
    const restart = begin(machine, 'systemctl restart myserver')
    await machine.waitFor('journalctl --boot --unit myserver --output cat', ({ stdout }) => stdout.includes('"event":"stopping"'))
    t.notOk(waiting.isOver())
    await release(machine)
    t.equal((await restart.result).code, 0)
    t.equal((await waiting.result).code, 0)
    t.ok(isDrained(await control(machine)))
  })

  await t.test('Ctrl-C ends the waiting and not the maintenance, and says so', async t => {
    await holdRequest(machine)
    const waiting = begin(machine, 'myserverctl on --wait >/tmp/waiting & echo $! >/tmp/waiter; wait $!')
    await machine.waitFor('cat /tmp/waiting', ({ stdout }) => stdout.includes('1 in flight'))
    await machine.run('kill -INT $(cat /tmp/waiter)')
    t.match(await waiting.result, { code: 130, stderr: /stopped waiting\. Maintenance stays on; to leave it: myserverctl off/ })
    t.equal((await control(machine)).mode, 'maintenance')
  })

  await t.test('wait --live returns when somebody has left', async t => {
    await machine.run('myserverctl on')
    const waiting = begin(machine, 'myserverctl wait --live')
    await machine.run('myserverctl off')
    t.equal((await waiting.result).code, 0)
    t.ok(isLive(await untilControl(machine, isLive)))
  })
})
