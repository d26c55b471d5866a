// No client is turned away by any switch, restart or crash, other than with the page.

import type { Test } from 'tap'
import type { Machine } from './machine.ts'
import * as load from './load.ts'
import { bootInstalled, mainPid, port, untilReplaced, untilStatus } from './product.ts'
import { onEachSuite } from './suites.ts'

const concurrency = 8
const unharmed = { refused: 0, reset: 0, cutOff: 0, errors: {} }

const clients = [
  { name: 'a connection for each request', options: { port, concurrency } },
  { name: 'kept connections', options: { port, concurrency, keepAlive: true } }
]

onEachSuite('under load', async (t, suite) => {
  const machine = await bootInstalled(t, suite)
  for (const { name, options } of clients) {
    await t.test(`with ${name}`, async t => { await switchAndRestart(t, machine, options) })
  }
})

async function switchAndRestart (t: Test, machine: Machine, options: load.LoadOptions): Promise<void> {
  await t.test('entering and leaving break no connection', async t => {
    const traffic = load.start(options)
    for (let round = 0; round < 3; round++) {
      await traffic.answered(100, 200)
      await machine.run('systemctl kill -s SIGUSR1 myserver')
      await traffic.answered(100, 503)
      await machine.run('systemctl kill -s SIGUSR2 myserver')
    }
    await traffic.answered(100, 200)
    t.match(await traffic.stop(), { ...unharmed, retried: 0 })
  })

  await t.test('a reload breaks no connection', async t => {
    const traffic = load.start(options)
    for (let round = 0; round < 3; round++) {
      await traffic.answered(100, 200)
      await machine.run('systemctl reload myserver')
    }
    await traffic.answered(100, 200)
    const report = await traffic.stop()
    t.match(report, { ...unharmed, retried: 0 })
    t.same(Object.keys(report.statuses), ['200'])
  })

  await t.test('a restart refuses and resets no connection', async t => {
    const traffic = load.start(options)
    for (let round = 0; round < 3; round++) {
      await traffic.answered(100, 200)
      await machine.run('systemctl restart myserver')
    }
    await traffic.answered(100, 200)
    const report = await traffic.stop()
    t.match(report, unharmed)
    t.same(Object.keys(report.statuses), ['200'])
  })

  await t.test('a restart in maintenance refuses and resets no connection, and opens for nobody', async t => {
    await machine.run('systemctl kill -s SIGUSR1 myserver')
    await untilStatus(machine, /^maintenance .*drained/)
    const traffic = load.start(options)
    await traffic.answered(100)
    await machine.run('systemctl restart myserver')
    await traffic.answered(100)
    const report = await traffic.stop()
    await machine.run('systemctl kill -s SIGUSR2 myserver')
    await untilStatus(machine, /^live$/)
    t.match(report, unharmed)
    t.same(Object.keys(report.statuses), ['503'])
  })

  await t.test('a kill -9 refuses no connection, and fails only what was being served', async t => {
    const crashes = 3
    const traffic = load.start(options)
    for (let crash = 0; crash < crashes; crash++) {
      await traffic.answered(100, 200)
      const pid = await mainPid(machine)
      await machine.run(`kill -9 ${pid}`)
      await untilReplaced(machine, pid)
    }
    await traffic.answered(100, 200)
    const report = await traffic.stop()
    t.match(report, { refused: 0, errors: {} })
    t.same(Object.keys(report.statuses), ['200'])
    t.ok(report.reset + report.cutOff <= crashes * concurrency, `${report.reset} reset, ${report.cutOff} cut off`)
  })
}
