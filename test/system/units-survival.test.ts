// What may happen to a maintenance unit, its process, the service and the machine, none of which opens the site.

import type { Test } from 'tap'
import { control, holderNames, isLive, journalOf, settings, untilActive } from './operating.ts'
import { bootInstalled, countEvents, mainPid, recordFile, untilReplaced, visit } from './product.ts'
import { onEachSuite } from './suites.ts'
import type { RecordState } from '../../src/control/record-format.ts'

const plain = 'myserver-maintenance'
const timed = 'myserver-maintenance@30m'

onEachSuite('a maintenance unit holds on', async (t, suite) => {
  const machine = await bootInstalled(t, suite)
  t.beforeEach(async () => { await machine.run(`systemctl start ${plain} ${timed}`) })

  async function expectHeld (t: Test): Promise<void> {
    t.same(holderNames(await control(machine)).sort(), [plain, timed])
    t.equal((await visit(machine)).status, 503)
    t.equal(await countEvents(machine, 'maintenance-left'), 0)
  }

  async function expectActive (t: Test): Promise<void> {
    for (const unit of [plain, timed]) t.equal(await machine.property('ActiveState', unit), 'active', unit)
  }

  async function endOf (name: string): Promise<string | undefined> {
    return (await control(machine)).holders.find(holder => holder.name === name)?.until
  }

  await t.test('over a restart of the service', async t => {
    await machine.run('systemctl restart myserver')
    await expectHeld(t)
    await expectActive(t)
  })

  await t.test('over a kill -9 of the service', async t => {
    const pid = await mainPid(machine)
    await machine.run(`kill -9 ${pid}`)
    await untilReplaced(machine, pid)
    await expectHeld(t)
    await expectActive(t)
  })

  await t.test('over a stop of the service, for as long as it likes', async t => {
    await machine.run('systemctl stop myserver')
    await expectActive(t)
    await machine.run('systemctl start myserver')
    await expectHeld(t)
    await expectActive(t)
  })

  await t.test('over a kill -9 of its own process, which comes back with the end that it had', async t => {
    const end = await endOf(timed)
    for (const unit of [plain, timed]) {
      const pid = await machine.property('MainPID', unit)
      await machine.run(`kill -9 ${pid}`)
      await machine.waitFor(`systemctl show -p ActiveState -p MainPID --value ${unit} | xargs`,
        ({ stdout }) => stdout.includes('active') && !stdout.includes('activating') && !stdout.split(/\s/).includes(pid))
    }
    await expectHeld(t)
    await expectActive(t)
    t.equal(await endOf(timed), end)
  })

  await t.test('over another target', async t => {
    await machine.run('systemctl isolate multi-user.target')
    await expectHeld(t)
    await expectActive(t)
  })

  await t.test('until it is stopped, whatever happened before', async t => {
    await machine.run(`systemctl stop ${timed}`)
    t.equal((await visit(machine)).status, 503)
    await machine.run(`systemctl stop ${plain}`)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('over a reboot: the claim stands, and the site opened neither on the way down nor up', async t => {
    const end = await endOf(timed)
    await machine.reboot()
    const before = await machine.journal('--boot=-1 --identifier myserver --output cat')
    t.match(before.slice(before.lastIndexOf('"stopping"')), /"event":"stopped","mode":"maintenance"/)
    t.notMatch(before.slice(before.lastIndexOf('maintenance-entered')), /maintenance-(left|released)/)
    await expectHeld(t)
    t.equal(await endOf(timed), end)
    for (const unit of [plain, timed]) t.equal(await machine.property('ActiveState', unit), 'inactive', unit)
  })

  await t.test('and takes its claim up again when it is started after one', async t => {
    await expectActive(t)
    await machine.run(`systemctl stop ${plain} ${timed}`)
    t.ok(isLive(await control(machine)))
  })

  await t.test('does not take up a claim that was ended while its process was dead', async t => {
    await machine.run(`
      systemctl show -p MainPID --value ${plain} | xargs kill -STOP
      myserverctl off
      systemctl show -p MainPID --value ${plain} | xargs kill -9`)
    await untilActive(machine, plain, 'inactive')
    t.match(await journalOf(machine, plain), new RegExp(`Scheduled restart job[^]*the claim of ${plain} has ended; the service is live`))
    t.ok(isLive(await control(machine)))
  })

  await t.test('and keeps its claim where the reopening check does not let it leave, and says so', async t => {
    await machine.run(`cp -p ${settings} /root/kept.env && echo MAINTENANCE_CHECK=/run/database.sock >>${settings} && systemctl restart myserver`)
    await machine.run(`systemctl stop ${plain} ${timed}`)
    const failed = (await Promise.all([plain, timed].map(async unit => await machine.property('ActiveState', unit)))).filter(state => state === 'failed')
    t.equal(failed.length, 1, 'the last of them')
    t.equal((await control(machine)).holders.length, 1)
    t.match(await machine.journal('--boot --output cat --identifier myserver-maintenance'), /the reopening check failed: .*database\.sock/)
    await machine.run(`cp -p /root/kept.env ${settings} && systemctl restart myserver`)
  })

  await t.test('over an uninstall, in the record', async t => {
    await machine.run('/src/install.sh --uninstall')
    await machine.run(`systemctl cat ${plain} || systemctl cat ${timed} || test -e /usr/local/bin/myserverctl || pgrep -f [m]yserverctl.ts`, { expectCode: 1 })
    t.equal((await machine.run('systemctl list-units --all --plain --no-legend "myserver*"')).stdout, '')
    const record = JSON.parse((await machine.run(`cat ${recordFile}`)).stdout) as RecordState
    t.equal(record.mode, 'maintenance')
    t.same(record.holders.map(({ name }) => name).sort(), [plain, timed])
  })
})
