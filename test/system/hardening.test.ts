// The unit files: valid, and that of the service as closed as it can be with the service working.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from './machine.ts'
import { bootInstalled, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('the unit', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  // Examples are copied to the machine's own units, and run a command of the reader's.
  await machine.run('cp /opt/myserver/current/examples/* /etc/systemd/system && install -m 755 /dev/null /usr/local/bin/migrate-the-database')
  for (const file of ['systemd', 'examples'].flatMap(folder => readdirSync(join(checkout, folder))).filter(isUnit)) {
    await t.test(`${file} has nothing that systemd-analyze verify objects to`, async t => {
      const { stdout, stderr } = await machine.run(`systemd-analyze verify ${file.replace('@.', '@30m.')}`)
      t.equal(stdout + stderr, '')
    })
  }

  await t.test('myserver.service scores 1.2 or lower in systemd-analyze security, and works', async t => {
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

function isUnit (file: string): boolean {
  return /\.(service|timer|socket|path|target|slice)$/.test(file)
}
