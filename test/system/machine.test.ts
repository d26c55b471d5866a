// The harness itself: a machine boots, runs commands, reboots, freezes, and leaves nothing behind.

import { existsSync } from 'node:fs'
import { boot } from './machine.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('a machine', async (t, suite) => {
  const machine = await boot(t, { suite })

  await t.test('is running', async t => {
    const { stdout } = await machine.run('systemctl is-system-running', { expectCode: 'any' })
    t.match(stdout.trim(), /^(running|degraded)$/)
  })

  await t.test('runs the systemd of its suite', async t => {
    const { stdout } = await machine.run('systemctl --version')
    t.match(stdout, new RegExp(`^systemd ${suite.systemd} `))
  })

  await t.test('has the checkout, and cannot change it', async t => {
    await machine.run('test -f /src/package.json')
    await machine.run('touch /src/oops 2>/dev/null', { expectCode: 1 })
  })

  await t.test('has npm', async t => {
    t.match((await machine.run('npm --version')).stdout, /^\d+\./)
  })

  await t.test('reports exit code, output and errors of a command', async t => {
    const result = await machine.run('echo out; echo err >&2; exit 3', { expectCode: 3 })
    t.same(result, { code: 3, stdout: 'out\n', stderr: 'err\n' })
    await t.rejects(machine.run('exit 3'), /exit code 3 instead of 0/)
  })

  await t.test('says what the output was when it waited in vain', async t => {
    await t.rejects(machine.waitFor('echo never', () => false, 200), /never got as it should: echo never\nnever/)
  })

  await t.test('keeps its disk over a reboot, and nothing else', async t => {
    const before = machine.leader
    await machine.run('echo kept >/root/on-disk; echo lost >/run/in-memory')
    await machine.reboot()
    t.not(machine.leader, before)
    t.equal((await machine.run('cat /root/on-disk')).stdout, 'kept\n')
    await machine.run('test -e /run/in-memory', { expectCode: 1 })
  })

  await t.test('leaves a disk on which another boots', async t => {
    const disk = await machine.freeze(t)
    const other = await boot(t, { suite, disk })
    t.equal((await other.run('cat /root/on-disk')).stdout, 'kept\n')
  })

  await t.test('begins with a clean root', async t => {
    const other = await boot(t, { suite })
    await other.run('test -e /root/on-disk', { expectCode: 1 })
  })

  t.equal(machine.isUp, false)
  t.notOk(existsSync(`/proc/${machine.leader}`), 'no process is left')
})
