// Every command of docs/operations.md, as it stands there and in its order, against the state that it is to lead to.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { begin, bootWithSlowRequest, control, holderNames, holdRequest, isDrained, isLive, release, settings, untilControl } from './operating.ts'
import { checkout, type Machine } from './machine.ts'
import { visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const document = readFileSync(join(checkout, 'docs/operations.md'), 'utf8')
const commands = [
  ...[...document.matchAll(/^```sh\n(.*?)^```/gms)].flatMap(([, script = '']) => script.trimEnd().split('\n')),
  ...[...document.replaceAll(/^```.*?^```/gms, '').matchAll(/`((?:sudo |systemctl |myserverctl )[^`]+)`/g)].map(([, command = '']) => command)
]
const run = new Set<string>()

/** The document's command that begins like this, as whoever it speaks to: alice, in the group, who may use sudo. */
function take (beginning: string): string {
  const command = commands.includes(beginning) ? beginning : commands.find(command => command.startsWith(beginning))
  if (command === undefined) throw new Error(`docs/operations.md has no command ${beginning}`)
  run.add(command)
  // The table of signals leaves sudo to the reader.
  const whole = command.startsWith('systemctl kill') ? `sudo ${command}` : command
  return `runuser -u alice -- sh -c '${whole.replaceAll("'", "'\\''")}'`
}

onEachSuite('the runbook', async (t, suite) => {
  run.clear()
  const machine = await bootWithSlowRequest(t, suite)
  await machine.run(`
    set -e
    useradd --groups systemd-journal alice
    echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice`)

  async function does (beginning: string, expectCode = 0): Promise<string> {
    const { stdout, stderr } = await machine.run(take(beginning), { expectCode })
    return stdout + stderr
  }

  await t.test('who may use myserverctl', async t => {
    await does('sudo usermod -aG myserver alice')
    await does('systemctl kill -s SIGUSR1 myserver')
    await untilControl(machine, isDrained)
    await does('systemctl kill -s SIGUSR2 myserver')
    await untilControl(machine, isLive)
    await does('myserverctl on')
    t.equal((await visit(machine)).status, 503)
    await does('myserverctl off')
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('the day before', async t => {
    const [, check = ''] = /^ {4}(MAINTENANCE_CHECK=\S+)$/m.exec(document) ?? []
    await machine.run(`echo ${check} >>${settings}`)
    await openDatabase(machine, check)
    t.match(await does('sudo myserver --check-config'), /good/)
    await does('sudo systemctl restart myserver')
    t.match(await does('myserverctl status'), /^live since /)
  })

  await t.test('enter, and wait until the database is yours', async t => {
    const { answer } = await holdRequest(machine)
    const entering = begin(machine, take('myserverctl on --reason'))
    await untilControl(machine, ({ mode, inFlight }) => mode === 'maintenance' && inFlight === 1)
    t.notOk(entering.isOver())
    await does('myserverctl on --wait=1s --cut', 1)
    await t.rejects(answer)
    const waiting = begin(machine, take('myserverctl wait --drained'))
    t.match(await control(machine), { drained: false, inFlight: 1 })
    await release(machine)
    t.equal((await waiting.result).code, 0)
    t.equal((await entering.result).code, 0)
    t.match(await control(machine), { mode: 'maintenance', drained: true, holders: [{ reason: /./, message: /./, until: /./, then: 'stay' }] })
    const { head, body } = await visit(machine)
    t.match(head, /\r\nretry-after: 2[67]\d\d\r\n/i, 'counts down from 45 minutes')
    t.match(body, /We are moving house/)
  })

  await t.test('work', async t => {
    const { stdout } = await machine.run(`timeout --signal=INT 5 ${take('myserverctl status --watch')}`, { expectCode: 'any' })
    t.match(stdout, /^maintenance since .*, drained/m)
    const before = (await control(machine)).holders[0]
    await does('myserverctl on --for 30m')
    const after = (await control(machine)).holders[0]
    t.equal(after?.reason, before?.reason)
    t.not(after?.until, before?.until)
    t.match((await visit(machine)).body, /It takes a little longer/)
    await machine.reboot()
    t.equal((await visit(machine)).status, 503)
  })

  await t.test('reopen', async t => {
    const output = await does('myserverctl off', 1)
    t.match(output, /the reopening check failed: .*ECONNREFUSED/, 'the database is down')
    await openDatabase(machine, document)
    await does('myserverctl off')
    t.equal((await visit(machine)).status, 200)
    t.match(await does('journalctl -u myserver -p warning --since'), /maintenance-entered/)
    await machine.run('myserverctl on && systemctl stop database')
    await does('myserverctl off --force')
    t.ok(isLive(await control(machine)))
    await openDatabase(machine, document)
  })

  await t.test('windows that overlap', async t => {
    await does('myserverctl on --holder backup')
    t.same(holderNames(await control(machine)), ['backup'])
    await does('myserverctl off --holder backup')
    t.ok(isLive(await control(machine)))
  })

  await t.test('units', async t => {
    await does('sudo systemctl start myserver-maintenance')
    t.same(holderNames(await control(machine)), ['myserver-maintenance'])
    await does('sudo systemctl restart myserver-maintenance')
    t.same(holderNames(await control(machine)), ['myserver-maintenance'], 'a restart claims it again')
    t.equal((await machine.run('systemctl is-active myserver-maintenance')).stdout.trim(), 'active')
    await does('myserverctl off --holder myserver-maintenance')
    await machine.waitFor('systemctl is-active myserver-maintenance', ({ stdout }) => stdout.trim() === 'inactive')
    t.ok(isLive(await control(machine)))
    await does('sudo systemctl start myserver-maintenance')
    await does('sudo systemctl stop myserver-maintenance')
    t.ok(isLive(await control(machine)))
    await does('sudo systemctl start myserver-maintenance@30m')
    t.same(holderNames(await control(machine)), ['myserver-maintenance@30m'])
    await machine.run('systemctl stop myserver-maintenance@30m')
    await does('sudo systemd-run --on-calendar')
    t.match((await machine.run('systemctl list-timers --all')).stdout, /2030-12-01 03:30/)
  })

  await t.test('what is seen', async t => {
    t.match(await does('systemctl status myserver'), /Status: "live"/)
    t.match(await does('journalctl -u myserver -p warning'), /maintenance-entered/)
    t.match(await does('journalctl -u myserver MESSAGE_ID'), /maintenance/)
    const metrics = await does('sudo curl --unix-socket')
    for (const [, name = ''] of document.matchAll(/`(myserver_\w+)`/g)) t.match(metrics, new RegExp(`^${name}`, 'm'), name)
  })

  await t.test('when something is wrong', async t => {
    await does('myserverctl status')
    await does('sudo myserver --check-config')
    t.pass()
  })

  await t.test('nothing that the document says was left out', async t => {
    t.same(commands.filter(command => !run.has(command)), [])
  })
})

/** What MAINTENANCE_CHECK asks in place of a database: something that accepts connections. */
async function openDatabase (machine: Machine, text: string): Promise<void> {
  const [, port = ''] = /tcp:\/\/127\.0\.0\.1:(\d+)/.exec(text) ?? []
  await machine.run(`systemd-run --quiet --collect --unit=database --service-type=exec /opt/myserver/current/node_modules/.bin/node \
    -e 'require("net").createServer().listen(${port}, "127.0.0.1")'`)
  // curl speaks telnet, which needs no more than a connection.
  await machine.waitFor(`curl --silent --max-time 1 telnet://127.0.0.1:${port}`, ({ code }) => code !== 7)
}
