// The maintenance units: start enters and returns when nothing is in flight any more, stop leaves, and a unit is
// active exactly while its claim stands.

import { begin, bootWithSlowRequest, control, holderNames, holdRequest, isDrained, isLive, journalOf, release, untilActive, untilControl } from './operating.ts'
import { logLines, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const unit = 'myserver-maintenance'
const dropIns = `/run/systemd/system/${unit}.service.d`

onEachSuite('a maintenance unit', async (t, suite) => {
  const machine = await bootWithSlowRequest(t, suite)

  await t.test('enters, and its start returns when nothing is in flight any more, and not before', async t => {
    const { answer } = await holdRequest(machine)
    const start = begin(machine, `systemctl start ${unit}`)
    await machine.waitFor(`journalctl --boot --output cat --unit ${unit}`, ({ stdout }) => /^1 in flight$/m.test(stdout))
    t.match(await control(machine), { mode: 'maintenance', drained: false, holders: [{ name: unit, reason: `systemctl start ${unit}.service` }] })
    t.equal(await machine.property('ActiveState', unit), 'activating')
    t.notOk(start.isOver())
    await release(machine)
    t.equal((await start.result).code, 0)
    t.ok(isDrained(await control(machine)))
    t.equal((await answer).status, 200)
    t.equal(await machine.property('ActiveState', unit), 'active')
    t.equal(await machine.property('StatusText', unit), 'maintenance is on and drained')
  })

  await t.test('leaves when it is stopped', async t => {
    await machine.run(`systemctl stop ${unit}`)
    t.ok(isLive(await control(machine)))
    t.equal((await visit(machine)).status, 200)
    t.equal(await machine.property('Result', unit), 'success')
  })

  await t.test('can be stopped while it waits, and leaves', async t => {
    await holdRequest(machine)
    const start = begin(machine, `systemctl start ${unit}`)
    await untilControl(machine, ({ mode }) => mode === 'maintenance')
    await machine.run(`systemctl stop ${unit}`)
    t.not((await start.result).code, 0)
    t.ok(isLive(await control(machine)))
    await release(machine)
    await untilControl(machine, ({ inFlight }) => inFlight === 0)
  })

  await t.test('fails where that takes too long, names what is in flight, and maintenance stays on', async t => {
    await machine.run(`
      mkdir -p ${dropIns}
      { printf '[Service]\\nExecStart=\\n'; sed -n '/^ExecStart=/,/[^\\]$/p' /etc/systemd/system/${unit}.service | sed 's/--holder/--wait 1s --holder/'; } >${dropIns}/wait.conf
      systemctl daemon-reload`)
    await holdRequest(machine)
    await machine.run(`systemctl start ${unit}`, { expectCode: 1 })
    const journal = await machine.journal(`--boot --output cat --unit ${unit} --lines 10`)
    t.match(journal, /not drained in time; maintenance stays on, 1 in flight/)
    t.match(journal, /GET \/slow, \d+\.\d s/)
    t.match(journal, `to give it back: myserverctl off --holder ${unit}`)
    t.equal(await machine.property('ActiveState', unit), 'failed')
    t.match(await control(machine), { mode: 'maintenance', drained: false, holders: [{ name: unit }] })
  })

  await t.test('waits on when it is started again', async t => {
    await release(machine)
    await untilControl(machine, isDrained)
    await machine.run(`systemctl start ${unit}`)
    t.same(holderNames(await control(machine)), [unit])
    await machine.run(`systemctl stop ${unit} && rm -r ${dropIns} && systemctl daemon-reload`)
    t.ok(isLive(await control(machine)))
  })

  for (const [how, command] of [
    ['myserverctl off', 'myserverctl off'],
    ['SIGUSR2', 'systemctl kill -s SIGUSR2 myserver'],
    ['myserverctl off with its name', `myserverctl off --holder ${unit}`]
  ] as const) {
    await t.test(`ends with ${how}`, async t => {
      await machine.run(`systemctl start ${unit}`)
      await machine.run(command)
      await untilActive(machine, unit, 'inactive')
      t.equal(await machine.property('Result', unit), 'success')
      t.match(await journalOf(machine, unit), `the claim of ${unit} has ended`)
      t.ok(isLive(await control(machine)))
    })
  }

  await t.test('ends by itself after its instance name', async t => {
    await machine.run(`systemctl start ${unit}@2s`)
    await untilActive(machine, `${unit}@2s`, 'inactive')
    t.equal(await machine.property('Result', `${unit}@2s`), 'success')
    t.ok(isLive(await control(machine)))
    const transitions = (await logLines(machine)).filter(({ event }) => event === 'maintenance-entered' || event === 'maintenance-left')
    t.match(transitions.slice(-2), [{ holder: `${unit}@2s`, until: String }, { by: 'the end time' }])
  })

  await t.test('refuses an instance name that is no duration', async t => {
    await machine.run(`systemctl start ${unit}@soon`, { expectCode: 1 })
    t.match(await journalOf(machine, `${unit}@soon`), /--for=soon: expected a duration such as/)
    t.ok(isLive(await control(machine)))
  })

  await t.test('holds maintenance beside others', async t => {
    await machine.run(`systemctl start ${unit} ${unit}@30m && myserverctl on --holder backup`)
    t.same(holderNames(await control(machine)).sort(), ['backup', unit, `${unit}@30m`])
    await machine.run(`systemctl stop ${unit}`)
    t.same(holderNames(await control(machine)).sort(), ['backup', `${unit}@30m`])
    t.equal((await visit(machine)).status, 503)
    await machine.run('myserverctl off --holder backup')
    t.equal(await machine.property('ActiveState', `${unit}@30m`), 'active')
    t.equal((await visit(machine)).status, 503)
    await machine.run(`systemctl stop ${unit}@30m`)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('refuses where the service is down, and the journal says why', async t => {
    await machine.run('systemctl stop myserver')
    await machine.run(`systemctl start ${unit}`, { expectCode: 1 })
    t.match(await machine.journal(`--boot --output cat --unit ${unit} --lines 5`), /myserverctl hold: the service is not running: .*systemctl start myserver/)
    await machine.run('systemctl start myserver')
    t.equal((await visit(machine)).status, 200)
  })
})
