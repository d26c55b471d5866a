// examples/: a migration that holds maintenance while it runs, and windows that timers open.

import type { Test } from 'tap'
import { begin, bootWithSlowRequest, control, holderNames, holdRequest, isDrained, isLive, journalOf, release, untilActive } from './operating.ts'
import { poll } from './commands.ts'
import { logLines, visit, type LogLine } from './product.ts'
import { onEachSuite } from './suites.ts'

const unit = 'example-migration'
const timed = 'myserver-maintenance@2s'
const units = '/etc/systemd/system'
// A stand-in: it migrates until /srv/migrated names the exit code to end with.
const migrate = `#!/bin/sh
touch /tmp/migrating
until read -r code 2>/dev/null </srv/migrated; do sleep 0.05; done
echo "migrated with $code"
exit "$code"`

onEachSuite('the examples', async (t, suite) => {
  const machine = await bootWithSlowRequest(t, suite)
  await machine.run(`
    set -e
    cp /src/examples/* ${units}/
    printf '%s\\n' '${migrate}' >/usr/local/bin/migrate-the-database
    chmod 755 /usr/local/bin/migrate-the-database
    systemctl daemon-reload`)

  t.beforeEach(async () => { await machine.run('rm -f /srv/migrated /tmp/migrating') })

  async function untilMigrating (): Promise<void> {
    await machine.waitFor('test -e /tmp/migrating', ({ code }) => code === 0)
  }

  async function finish (code: number): Promise<void> {
    await machine.run(`echo ${code} >/srv/migrated.new && mv /srv/migrated.new /srv/migrated`)
  }

  async function expectKept (t: Test): Promise<void> {
    await untilActive(machine, unit, 'failed')
    t.same(holderNames(await control(machine)), [unit])
    t.ok(isDrained(await control(machine)))
    await machine.run(`myserverctl off --holder ${unit}`)
    t.ok(isLive(await control(machine)))
  }

  await t.test('a migration begins when nothing is in flight any more, and gives maintenance back', async t => {
    const { answer } = await holdRequest(machine)
    const start = begin(machine, `systemctl start ${unit}`)
    await machine.waitFor(`journalctl --boot --output cat --unit ${unit}`, ({ stdout }) => stdout.includes('1 in flight'))
    t.match(await control(machine), { mode: 'maintenance', drained: false, holders: [{ name: unit, reason: `systemctl start ${unit}.service` }] })
    await machine.run('test -e /tmp/migrating', { expectCode: 1 })
    await release(machine)
    t.equal((await answer).status, 200)
    await untilMigrating()
    t.ok(isDrained(await control(machine)))
    t.equal((await visit(machine)).status, 503)
    t.notOk(start.isOver())
    await finish(0)
    t.equal((await start.result).code, 0)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('one that fails half-way keeps it', async t => {
    const start = begin(machine, `systemctl start ${unit}`)
    await untilMigrating()
    await finish(3)
    t.equal((await start.result).code, 1)
    t.match(await journalOf(machine, unit), /migrated with 3/)
    await expectKept(t)
  })

  await t.test('one that is stopped half-way keeps it', async t => {
    const start = begin(machine, `systemctl start ${unit}`)
    await untilMigrating()
    await machine.run(`systemctl stop ${unit}`)
    t.not((await start.result).code, 0)
    await expectKept(t)
  })

  await t.test('one that is killed keeps it, and the next that succeeds gives it back', async t => {
    const killed = begin(machine, `systemctl start ${unit}`)
    await untilMigrating()
    await machine.run(`systemctl kill -s KILL ${unit}`)
    t.equal((await killed.result).code, 1)
    t.same(holderNames(await control(machine)), [unit])
    await finish(0)
    await machine.run(`systemctl start ${unit}`)
    t.ok(isLive(await control(machine)))
  })

  await t.test('one that fails gives it back where KEEP_AFTER_FAILURE=no', async t => {
    await machine.run(`sed -i s/KEEP_AFTER_FAILURE=yes/KEEP_AFTER_FAILURE=no/ ${units}/${unit}.service && systemctl daemon-reload`)
    await finish(3)
    await machine.run(`systemctl start ${unit}`, { expectCode: 1 })
    t.ok(isLive(await control(machine)))
  })

  await t.test('one that cannot have maintenance does not begin', async t => {
    await machine.run('systemctl stop myserver')
    await finish(0)
    await machine.run(`systemctl start ${unit}`, { expectCode: 1 })
    await machine.run('test -e /tmp/migrating', { expectCode: 1 })
    t.match(await journalOf(machine, unit), /the service is not running/)
    await machine.run('systemctl start myserver')
  })

  await t.test('of two windows that overlap, the last to end opens the site', async t => {
    const start = begin(machine, `systemctl start ${unit}`)
    await untilMigrating()
    await machine.run('systemctl start myserver-maintenance')
    t.same(holderNames(await control(machine)).sort(), [unit, 'myserver-maintenance'])
    await finish(0)
    t.equal((await start.result).code, 0)
    t.same(holderNames(await control(machine)), ['myserver-maintenance'])
    t.equal((await visit(machine)).status, 503)
    await machine.run('systemctl stop myserver-maintenance')
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('the weekly timer opens a window that ends by itself', async t => {
    t.match((await machine.run('systemctl show -p TimersCalendar --value weekly-maintenance.timer')).stdout, /Sun \*-\*-\* 03:00:00/)
    await expectWindow(t, `
      sed -i 's/^OnCalendar=.*/OnActiveSec=1s\\nAccuracySec=10ms/; s/@30m/@2s/' ${units}/weekly-maintenance.timer
      systemctl daemon-reload && systemctl start weekly-maintenance.timer`)
    await machine.run('systemctl stop weekly-maintenance.timer')
  })

  await t.test('so does systemd-run, once', async t => {
    await expectWindow(t, 'systemd-run --quiet --on-active=1s --timer-property=AccuracySec=10ms systemctl start myserver-maintenance@2s')
  })

  /** The command brings about a window of the unit that ends by itself. */
  async function expectWindow (t: Test, command: string): Promise<void> {
    const transitions = async (): Promise<LogLine[]> => (await logLines(machine)).filter(({ event }) => /^maintenance-(entered|left)$/.test(event ?? ''))
    const before = (await transitions()).length
    await machine.run(command)
    await poll('the window to end', 30_000, async () => (await transitions()).length >= before + 2 ? true : undefined)
    t.match((await transitions()).slice(before), [{ event: 'maintenance-entered', holder: timed }, { event: 'maintenance-left', by: 'the end time' }])
    await untilActive(machine, timed, 'inactive')
    t.equal(await machine.property('Result', timed), 'success')
    t.equal((await visit(machine)).status, 200)
  }
})
