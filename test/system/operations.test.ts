// Every command of docs/operations.md, as it stands there and in its order, against the state that it is to lead to.

import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { begin, bootWithSlowRequest, control, holderNames, holdRequest, isDrained, isLive, release, settings, untilControl } from './operating.ts'
import { checkout, type Machine } from './machine.ts'
import { visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const document = readFileSync(join(checkout, 'docs/operations.md'), 'utf8')
const scripts = [...document.matchAll(/^```sh\n(.*?)^```/gms)].map(([, script = '']) => script.trimEnd().split('\n'))
// Commands in the text and in tables; placeholders are none.
const inText = [...document.replaceAll(/^```.*?^```/gms, '').matchAll(/`((?:sudo |systemctl |myserverctl )[^`]+)`/g)].map(([, command = '']) => command)

/** Runs a command as whoever the document speaks to: alice, who is in the group, and who may use sudo. */
function asAlice (command: string): string {
  return `runuser -u alice -- sh -c '${command.replaceAll("'", "'\\''")}'`
}

onEachSuite('the runbook', async (t, suite) => {
  const machine = await bootWithSlowRequest(t, suite)
  await machine.run(`
    set -e
    useradd --groups systemd-journal alice
    echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice`)
  const did = new Set<string>()

  async function run (script: number, line: number, expectCode = 0): Promise<string> {
    const command = scripts[script]?.[line] ?? ''
    did.add(command)
    const { stdout, stderr } = await machine.run(asAlice(command), { expectCode })
    return stdout + stderr
  }

  async function runInText (command: string): Promise<void> {
    did.add(command)
    await machine.run(asAlice(`${command.startsWith('systemctl') ? 'sudo ' : ''}${command}`))
  }

  await t.test('who may use myserverctl', async t => {
    await runInText('sudo usermod -aG myserver alice')
    await runInText('systemctl kill -s SIGUSR1 myserver')
    await untilControl(machine, isDrained)
    await runInText('systemctl kill -s SIGUSR2 myserver')
    await untilControl(machine, isLive)
    await runInText('myserverctl on')
    t.equal((await visit(machine)).status, 503)
    await runInText('myserverctl off')
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('the day before', async t => {
    const [, check = ''] = /^ {4}(MAINTENANCE_CHECK=\S+)$/m.exec(document) ?? []
    await machine.run(`echo ${check} >>${settings}`)
    await openDatabase(machine, check)
    t.match(await run(0, 0), /good/)
    await run(0, 1)
    t.match(await run(0, 2), /^live since /)
  })

  await t.test('enter, and wait until the database is yours', async t => {
    const { answer } = await holdRequest(machine)
    const entering = begin(machine, asAlice(scripts[1]?.[0] ?? ''))
    did.add(scripts[1]?.[0] ?? '')
    await untilControl(machine, ({ mode, inFlight }) => mode === 'maintenance' && inFlight === 1)
    t.notOk(entering.isOver())
    await run(2, 1, 1)
    await t.rejects(answer)
    const waiting = begin(machine, asAlice(scripts[2]?.[0] ?? ''))
    did.add(scripts[2]?.[0] ?? '')
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
    const watching = scripts[3]?.[0] ?? ''
    did.add(watching)
    const { stdout } = await machine.run(`timeout --signal=INT 5 ${asAlice(watching)}`, { expectCode: 'any' })
    t.match(stdout, /^maintenance since .*, drained/m)
    const before = (await control(machine)).holders[0]
    await run(4, 0)
    const after = (await control(machine)).holders[0]
    t.equal(after?.reason, before?.reason)
    t.not(after?.until, before?.until)
    t.match((await visit(machine)).body, /It takes a little longer/)
    await machine.reboot()
    t.equal((await visit(machine)).status, 503)
  })

  await t.test('reopen', async t => {
    const output = await run(5, 0, 1)
    t.match(output, /the reopening check failed: .*ECONNREFUSED/, 'the database is down')
    await openDatabase(machine, document)
    await run(5, 0)
    t.equal((await visit(machine)).status, 200)
    t.match(await run(5, 1), /maintenance-entered/)
    await machine.run('myserverctl on && systemctl stop database')
    await runInText('myserverctl off --force')
    t.ok(isLive(await control(machine)))
    await openDatabase(machine, document)
  })

  await t.test('windows that overlap', async t => {
    await run(6, 0)
    t.same(holderNames(await control(machine)), ['backup'])
    await run(6, 1)
    t.ok(isLive(await control(machine)))
  })

  await t.test('units', async t => {
    await run(7, 0)
    t.same(holderNames(await control(machine)), ['myserver-maintenance'])
    await run(7, 1)
    t.ok(isLive(await control(machine)))
    await run(7, 2)
    t.same(holderNames(await control(machine)), ['myserver-maintenance@30m'])
    await machine.run('systemctl stop myserver-maintenance@30m')
    await run(8, 0)
    t.match((await machine.run('systemctl list-timers --all')).stdout, /2030-12-01 03:30/)
  })

  await t.test('what is seen', async t => {
    t.match(await run(9, 0), /Status: "live"/)
    t.match(await run(9, 1), /maintenance-entered/)
    t.match(await run(9, 2), /maintenance/)
    const metrics = await run(9, 3)
    for (const [, name = ''] of document.matchAll(/`(myserver_\w+)`/g)) t.match(metrics, new RegExp(`^${name}`, 'm'), name)
  })

  await t.test('when something is wrong', async t => {
    await runInText('myserverctl status')
    await runInText('sudo myserver --check-config')
    t.pass()
  })

  await t.test('nothing that the document says was left out', async t => {
    t.same([...scripts.flat(), ...inText].filter(command => !did.has(command)), [])
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
