// What systemd does for the service: restarts it when it hangs or dies, and not when its settings are wrong.

import * as load from './load.ts'
import { bootInstalled, countEvents, mainPid, port, untilReplaced, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const settings = '/etc/myserver/myserver.env'

onEachSuite('systemd', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  await t.test('lets the watchdog end a process that hangs, and starts another, which refuses nobody', async t => {
    // The shipped interval is right for production; nobody wants to wait for it here.
    await machine.run(`
      mkdir -p /run/systemd/system/myserver.service.d
      printf '[Service]\\nWatchdogSec=2s\\n' >/run/systemd/system/myserver.service.d/watchdog.conf
      systemctl daemon-reload && systemctl restart myserver`)
    const pid = await mainPid(machine)
    const traffic = load.start({ port, concurrency: 4 })
    await traffic.answered(50, 200)
    await machine.run(`kill -STOP ${pid}`)
    await untilReplaced(machine, pid)
    await traffic.answered(50, 200)
    const report = await traffic.stop()
    t.match(report, { refused: 0, errors: {} })
    t.ok(report.reset + report.cutOff <= 4, `only what was being served failed: ${report.reset + report.cutOff}`)
    t.match(await machine.journal('--boot --unit myserver'), /watchdog timeout/i)
  })

  await t.test('is told often enough that the service is alive', async t => {
    const pid = await mainPid(machine)
    const pings = async (): Promise<number> => Number(await machine.property('WatchdogTimestampMonotonic'))
    const first = await pings()
    await machine.waitFor('systemctl show -p WatchdogTimestampMonotonic --value myserver',
      ({ stdout }) => Number(stdout) > first + 4_000_000)
    t.equal(await mainPid(machine), pid, 'which outlives two intervals')
    await machine.run('rm -r /run/systemd/system/myserver.service.d && systemctl daemon-reload && systemctl restart myserver')
  })

  await t.test('starts it again, however often it crashes', async t => {
    for (let crash = 0; crash < 8; crash++) {
      const pid = await mainPid(machine)
      await machine.run(`kill -9 ${pid}`)
      await untilReplaced(machine, pid)
    }
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('stops it cleanly', async t => {
    await machine.run('systemctl stop myserver')
    t.equal(await machine.property('Result'), 'success')
    t.equal(await machine.property('ExecMainStatus'), '0')
    t.equal(await countEvents(machine, 'stopped') > 0, true)
    await machine.run('systemctl start myserver')
  })

  await t.test('reloads it in place', async t => {
    const pid = await mainPid(machine)
    await machine.run('systemctl reload myserver')
    await machine.waitFor('journalctl --boot --unit myserver --output cat', ({ stdout }) => /"page-reloaded"/.test(stdout))
    t.equal(await mainPid(machine), pid)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('does not try again when the settings are wrong, and says what is', async t => {
    await machine.run(`cp ${settings} /root/kept.env && printf 'PORT=http\\nWORKERS=none\\n' >>${settings}`)
    await machine.run('systemctl restart myserver', { expectCode: 1 })
    t.equal(await machine.property('ExecMainStatus'), '78')
    t.equal(await machine.property('ActiveState'), 'failed')
    t.equal(await machine.property('NRestarts'), '0')
    const journal = await machine.journal('--boot --unit myserver --lines 20 --output cat')
    t.match(journal, /PORT/)
    t.match(journal, /WORKERS/)
  })

  await t.test('starts it once they are right', async t => {
    await machine.run(`cp /root/kept.env ${settings} && systemctl start myserver`)
    t.equal((await visit(machine)).status, 200)
  })
})
