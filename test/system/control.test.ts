// The control socket and myserverctl under systemd: who may use them, what they say where they cannot work, and what
// a restart and a reboot leave of an end time.

import { bootInstalled, logLines, untilStatus, visit } from './product.ts'
import { control, holderNames, isDrained, isLive, settings, untilControl } from './operating.ts'
import { onEachSuite } from './suites.ts'

const as = (user: string, command: string): string => `runuser -u ${user} -- ${command}`

onEachSuite('the control socket', async (t, suite) => {
  const machine = await bootInstalled(t, suite)
  await machine.run('useradd outsider && useradd insider && usermod -aG myserver insider')

  await t.test('belongs to the group, and to nobody else', async t => {
    t.equal((await machine.run('stat -c "%U:%G %a %F" /run/myserver/control.sock')).stdout, 'myserver:myserver 660 socket\n')
  })

  await t.test('a user outside the group gets exit code 3, and is told which group to join', async t => {
    for (const command of ['status', 'on', 'off --force', 'wait --live', 'status --watch']) {
      const { stdout, stderr } = await machine.run(as('outsider', `myserverctl ${command}`), { expectCode: 3 })
      t.equal(stdout, '')
      t.match(stderr, /no permission to use \/run\/myserver\/control\.sock; its group is myserver: .*sudo usermod -aG myserver/)
    }
    t.ok(isLive(await control(machine)))
  })

  await t.test('a user in the group may switch', async t => {
    await machine.run(as('insider', 'myserverctl on --wait --reason "because I may"'))
    t.equal((await visit(machine)).status, 503)
    await machine.run(as('insider', 'myserverctl off'))
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('the journal says who asked, and why', async t => {
    await machine.run('myserverctl on --reason "a reason" && myserverctl off')
    const entered = (await logLines(machine)).filter(({ event }) => event === 'maintenance-entered')
    t.match(entered[0], { by: /^somebody in its group, pid \d+$/, reason: 'because I may' })
    t.match(entered[1], { by: /^root, uid 0, pid \d+$/, reason: 'a reason' })
  })

  await t.test('a member is called by name where the unit shows the service its users', async t => {
    await machine.run(`
      mkdir -p /run/systemd/system/myserver.service.d
      printf '[Service]\\nPrivateUsers=no\\n' >/run/systemd/system/myserver.service.d/users.conf
      systemctl daemon-reload && systemctl restart myserver`)
    await machine.run(as('insider', 'myserverctl on'))
    t.match((await control(machine)).by, /^insider, uid \d+, pid \d+$/)
    await machine.run('myserverctl off && rm -r /run/systemd/system/myserver.service.d && systemctl daemon-reload && systemctl restart myserver')
  })

  await t.test('pkill -USR1 myserver passes a running myserverctl by', async t => {
    await machine.run('systemd-run --quiet --unit=watching myserverctl status --watch --json')
    const saw = async (mode: string): Promise<void> => {
      await machine.waitFor('journalctl --boot --output cat --unit watching | tail -n 1', ({ stdout }) => stdout.includes(`"mode":"${mode}"`))
    }
    await saw('live')
    const pid = await machine.property('MainPID', 'watching')
    await machine.run('pkill -USR1 myserver')
    await untilStatus(machine, /^maintenance since /)
    await saw('maintenance')
    await machine.run('pkill -USR2 myserver')
    await untilStatus(machine, /^live$/)
    await saw('live')
    t.equal(await machine.property('MainPID', 'watching'), pid)
    t.equal(await machine.property('ActiveState', 'watching'), 'active')
    await machine.run('systemctl stop watching')
  })

  await t.test('an end time stands after a restart and after a reboot', async t => {
    await machine.run('myserverctl on --for 2h --then open --reason "long work" --message "Back soon." && myserverctl on --holder backup')
    const { holders } = await control(machine)
    t.match(holders, [{ name: 'operator', then: 'open', until: String }, { name: 'backup' }])
    await machine.run('systemctl restart myserver')
    t.same((await control(machine)).holders, holders)
    await machine.reboot()
    t.same((await control(machine)).holders, holders)
    const { status, head, body } = await visit(machine)
    t.equal(status, 503)
    t.match(head, /\r\nretry-after: \d+/i)
    t.match(body, /Back soon\./)
    await machine.run('myserverctl off')
  })

  await t.test('an end that passed while the service was down is acted on when it starts', async t => {
    await machine.run('myserverctl on --for 3s --then open')
    const [operator] = (await control(machine)).holders
    await machine.run('systemctl stop myserver')
    await machine.waitFor('date --utc +%FT%T.%3NZ', ({ stdout }) => stdout > (operator?.until ?? ''))
    await machine.run('systemctl start myserver')
    await untilControl(machine, isLive)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('myserverctl off waits for MAINTENANCE_CHECK, and --force does not', async t => {
    await machine.run(`cp -p ${settings} /root/kept.env && echo MAINTENANCE_CHECK=/run/database.sock >>${settings} && systemctl restart myserver`)
    await machine.run('myserverctl on --wait')
    const { stderr } = await machine.run('myserverctl off', { expectCode: 1 })
    t.match(stderr, /the reopening check failed: .*\/run\/database\.sock/)
    t.ok(isDrained(await control(machine)))
    await machine.run('myserverctl off --force')
    t.ok(isLive(await control(machine)))
    t.same(holderNames(await control(machine)), [])
    await machine.run(`cp -p /root/kept.env ${settings} && systemctl restart myserver`)
  })

  await t.test('where there is none, exit code 3 comes with the reason', async t => {
    await machine.run('systemctl stop myserver')
    for (const command of ['status', 'on --wait', 'wait --drained']) {
      const { stderr } = await machine.run(`myserverctl ${command}`, { expectCode: 3 })
      t.match(stderr, /the service is not running: .*systemctl start myserver/)
    }
    await machine.run('systemctl start myserver')
    t.match((await machine.run('myserverctl status --socket /etc/passwd', { expectCode: 3 })).stderr, /\/etc\/passwd/)
  })
})
