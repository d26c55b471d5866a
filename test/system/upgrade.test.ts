// An upgrade keeps the mode, refuses nobody, and goes back by itself if the new release does not become ready.

import { bootInstalled, enter, leave, port, visit } from './product.ts'
import * as load from './load.ts'
import { onEachSuite } from './suites.ts'

const current = 'readlink /opt/myserver/current'
// Without the development dependencies, which install.sh does not look at.
const copyCheckout = 'mkdir -p /tmp/new && cd /src && tar --exclude ./node_modules --exclude ./.git --exclude ./.tap -cf - . | tar -xf - -C /tmp/new'

onEachSuite('an upgrade', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  await t.test('in maintenance stays in maintenance', async t => {
    await enter(machine)
    await machine.run('/src/install.sh')
    t.equal((await visit(machine)).status, 503)
    t.match(await machine.status(), /^maintenance since /)
    await leave(machine)
  })

  await t.test('refuses and resets no connection', async t => {
    const before = (await machine.run(current)).stdout
    const traffic = load.start({ port, concurrency: 4, maxMs: 300_000, maxRequests: 1_000_000 })
    await traffic.answered(50)
    await machine.run('/src/install.sh')
    await traffic.answered(50)
    const report = await traffic.stop()
    t.match(report, { refused: 0, reset: 0, cutOff: 0, errors: {} })
    t.same(Object.keys(report.statuses), ['200'])
    t.not((await machine.run(current)).stdout, before)
  })

  await t.test('that does not become ready rolls back', async t => {
    const before = (await machine.run(current)).stdout
    await machine.run(copyCheckout)
    // It passes --check-config, and fails only when it is to serve.
    await machine.run('sed -i "/catchSignals(process)/a if (process.argv.length === 2) process.exit(1)" /tmp/new/src/main.ts')
    const { stderr } = await machine.run('/tmp/new/install.sh', { expectCode: 1 })
    t.match(stderr, /did not become ready/)
    t.match(stderr, /is running again/)
    t.equal((await machine.run(current)).stdout, before)
    t.equal((await visit(machine)).status, 200)
    t.equal(await machine.status(), 'live')
  })

  await t.test('that does not become ready while in maintenance rolls back to maintenance', async t => {
    await enter(machine)
    const before = (await machine.run(current)).stdout
    await machine.run('/tmp/new/install.sh', { expectCode: 1 })
    t.equal((await machine.run(current)).stdout, before)
    t.equal((await visit(machine)).status, 503)
    await leave(machine)
  })
})
