// Maintenance stays on through everything that may happen to the process, its machine and its disk.

import type { Test } from 'tap'
import { bootInstalled, countEvents, enter, leave, logLines, mainPid, recordFile, untilReplaced, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('maintenance survives', async (t, suite) => {
  const machine = await bootInstalled(t, suite)

  t.beforeEach(async () => { await enter(machine) })

  async function expectMaintenance (t: Test): Promise<void> {
    t.equal((await visit(machine)).status, 503)
    t.match(await machine.status(), /^maintenance since /)
  }

  await t.test('a kill -9', async t => {
    const pid = await mainPid(machine)
    await machine.run(`kill -9 ${pid}`)
    await untilReplaced(machine, pid)
    await expectMaintenance(t)
  })

  await t.test('a reboot of the machine', async t => {
    await machine.reboot()
    await expectMaintenance(t)
  })

  await t.test('the loss of its record', async t => {
    await machine.run('rm -rf /var/lib/myserver/* && systemctl restart myserver')
    await expectMaintenance(t)
    t.ok((await logLines(machine, '-p err')).some(line => line.event === 'record-unreadable'), 'the journal says so')
  })

  await t.test('the loss of its record and a reboot', async t => {
    await machine.run('rm -rf /var/lib/myserver')
    await machine.reboot()
    await expectMaintenance(t)
  })

  await t.test('a corrupt record, which is kept for whoever wants to know', async t => {
    await machine.run(`systemctl stop myserver && echo '{"version":1,"mo' >${recordFile} && systemctl start myserver`)
    await expectMaintenance(t)
    t.equal((await machine.run(`cat ${recordFile}?*`)).stdout, '{"version":1,"mo\n')
  })

  await t.test('a record from the future', async t => {
    await machine.run(`systemctl stop myserver && echo '{"version":99,"mode":"live"}' >${recordFile} && systemctl start myserver`)
    await expectMaintenance(t)
  })

  await t.test('and is left when asked to, whatever happened before', async t => {
    await leave(machine)
    t.equal((await visit(machine)).status, 200)
    await machine.run('systemctl restart myserver')
    t.equal((await visit(machine)).status, 200)
    t.equal(await countEvents(machine, 'leave-refused'), 0)
  })
})
