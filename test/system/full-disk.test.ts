// With no room for the record, entering still works and says what it is worth; leaving does not.

import type { Machine } from './machine.ts'
import { bootInstalled, countEvents, leave, mainPid, untilReplaced, untilStatus, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

const state = '/var/lib/myserver'

onEachSuite('with a full disk', async (t, suite) => {
  const machine = await bootInstalled(t, suite)
  await machine.run(`
    set -e
    systemctl stop myserver
    cp -p ${state}/maintenance.json /root/record
    mount -t tmpfs -o size=32k,mode=750,uid=$(id -u myserver),gid=$(id -g myserver) tmpfs ${state}
    cp -p /root/record ${state}/maintenance.json
    systemctl start myserver`)
  await fill(machine)

  await t.test('entering works, and says that it is not on the disk', async t => {
    await machine.run('systemctl kill -s SIGUSR1 myserver')
    t.match(await untilStatus(machine, /^maintenance since /), /not on disk/i)
    t.equal((await visit(machine)).status, 503)
    t.equal(await countEvents(machine, 'record-unwritable'), 1)
  })

  await t.test('a restart is still in maintenance', async t => {
    await machine.run('systemctl restart myserver')
    t.equal((await visit(machine)).status, 503)
  })

  await t.test('a crash is still in maintenance', async t => {
    const pid = await mainPid(machine)
    await machine.run(`kill -9 ${pid}`)
    await untilReplaced(machine, pid)
    t.equal((await visit(machine)).status, 503)
  })

  await t.test('leaving is refused, and the journal says why', async t => {
    await machine.run('systemctl kill -s SIGUSR2 myserver')
    await machine.waitFor('journalctl --boot --unit myserver --output cat', ({ stdout }) => /"leave-refused"/.test(stdout))
    t.equal((await visit(machine)).status, 503)
  })

  await t.test('leaving works once there is room again', async t => {
    await machine.run(`rm ${state}/filler`)
    await leave(machine)
    t.equal((await visit(machine)).status, 200)
  })
})

async function fill (machine: Machine): Promise<void> {
  await machine.run(`cat /dev/zero >${state}/filler`, { expectCode: 1 })
}
