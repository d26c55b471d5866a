// What the README promises, command by command.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './machine.ts'
import { bootInstalled, enter, leave, mainPid, untilStatus, url, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

/** The commands of the README's transcript, each with the lines that the README shows below it. */
function readTranscript (): Array<{ command: string, shown: string[] }> {
  const readme = readFileSync(join(checkout, 'README.md'), 'utf8')
  const [, transcript] = /```console\n(.*?)```/s.exec(readme) ?? []
  if (transcript === undefined) throw new Error('README.md has no console block')
  return transcript.split(/^\$ /m).slice(1).map(part => {
    const [command = '', ...shown] = part.trimEnd().split('\n')
    return { command, shown }
  })
}

/** Times, counts and sizes differ from run to run. */
function simplify (text: string): string {
  return text.toLowerCase().replaceAll(/\d+/g, '0').replaceAll('0 requests', '0 request').replaceAll(/[ \r]+/g, ' ').replaceAll(/ $/gm, '')
}

onEachSuite('the transcript of the README', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  await t.test('does what it shows, word for word', async t => {
    for (const { command, shown } of readTranscript()) {
      const { stdout } = await machine.run(command)
      if (command.includes('SIGUSR1')) await untilStatus(machine, /^maintenance since .*, drained/)
      if (command.includes('SIGUSR2')) await untilStatus(machine, /^live$/)
      for (const line of shown) t.ok(simplify(stdout).includes(simplify(line)), `${command}: ${line}`)
    }
    t.equal(await machine.status(), 'live', 'it ends where it began')
  })

  await t.test('the site is served', async t => {
    const { status, body } = await visit(machine, '/')
    t.equal(status, 200)
    t.match(body, /<html/)
    t.equal(await machine.status(), 'live')
  })

  await t.test('SIGUSR1 shows the maintenance page on every path', async t => {
    await machine.run('sudo systemctl kill -s SIGUSR1 myserver')
    await untilStatus(machine, /^maintenance since \d\d:\d\d:\d\d, drained, 0 requests refused$/)
    const { stdout } = await machine.run(`curl -i ${url}/any/path`)
    t.match(stdout, /^HTTP\/1\.1 503 Service Unavailable\r\n/)
    t.match(stdout, /\r\nretry-after: 120\r\n/i)
    t.match(stdout, /\r\ncache-control: no-store\r\n/i)
    t.match(stdout, /maintenance/i)
    await untilStatus(machine, /^maintenance since \d\d:\d\d:\d\d, drained, 1 requests? refused$/)
  })

  await t.test('a restart stays in maintenance', async t => {
    await machine.run('sudo systemctl restart myserver')
    t.equal((await visit(machine)).status, 503)
    t.match(await machine.status(), /^maintenance since /)
  })

  await t.test('SIGUSR2 opens again', async t => {
    await machine.run('sudo systemctl kill -s SIGUSR2 myserver')
    await untilStatus(machine, /^live$/)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('systemctl status shows the state', async t => {
    t.match((await machine.run('systemctl status myserver')).stdout, /Status: "live"/)
    await enter(machine)
    t.match((await machine.run('systemctl status myserver')).stdout, /Status: "maintenance since \d\d:\d\d:\d\d, drained, /)
    await leave(machine)
  })

  for (const whom of ['all', 'main']) {
    await t.test(`systemctl kill --kill-whom=${whom} switches, and kills nothing`, async t => {
      const pid = await mainPid(machine)
      await machine.run(`systemctl kill --kill-whom=${whom} -s SIGUSR1 myserver`)
      await untilStatus(machine, /^maintenance since .*, drained/)
      t.equal((await visit(machine)).status, 503)
      await machine.run(`systemctl kill --kill-whom=${whom} -s SIGUSR2 myserver`)
      await untilStatus(machine, /^live$/)
      t.equal((await visit(machine)).status, 200)
      t.equal(await mainPid(machine), pid)
    })
  }

  await t.test('the service is a single process', async t => {
    const group = await machine.property('ControlGroup')
    const { stdout } = await machine.run(`cat /sys/fs/cgroup${group}/cgroup.procs`)
    t.equal(stdout.trim(), String(await mainPid(machine)))
  })

  await t.test('pkill reaches it by its name', async t => {
    await machine.run('pkill -USR1 myserver')
    await untilStatus(machine, /^maintenance since /)
    await machine.run('pkill -USR2 myserver')
    await untilStatus(machine, /^live$/)
    t.equal(await machine.property('NRestarts'), '0')
  })
})
