// The unit file: valid, and as closed as it can be with the service working.

import { bootInstalled, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('the unit', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  await t.test('has nothing that systemd-analyze verify objects to', async t => {
    const { stdout, stderr } = await machine.run('systemd-analyze verify myserver.service')
    t.equal(stdout + stderr, '')
  })

  await t.test('scores 1.2 or lower in systemd-analyze security, and works', async t => {
    const { stdout } = await machine.run('systemd-analyze security --no-pager myserver')
    const [, score] = /Overall exposure level for myserver\.service: ([\d.]+)/.exec(stdout) ?? []
    t.comment(`exposure level ${score} with systemd ${suite.systemd}`)
    t.ok(Number(score) <= 1.2, `${score} <= 1.2`)
    t.equal((await visit(machine)).status, 200)
  })

  await t.test('has no listening inspector', async t => {
    const pid = await machine.property('MainPID')
    await machine.run(`kill -USR1 ${pid}; kill -USR2 ${pid}`)
    await machine.run('curl --silent http://127.0.0.1:9229/json', { expectCode: 7 })
  })

  await t.test('keeps state from other users', async t => {
    const { stdout } = await machine.run('stat -c "%U:%G %a" /var/lib/myserver /var/lib/myserver/maintenance.json')
    t.equal(stdout, 'myserver:myserver 750\nmyserver:myserver 640\n')
  })
})
