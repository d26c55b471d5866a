// The journal: one readable line a transition, with priorities and message ids, and JSON for tools.

import { bootInstalled, enter, leave, logLines, visit } from './product.ts'
import { onEachSuite } from './suites.ts'

onEachSuite('the journal', async (t, suite) => {
  const machine = await bootInstalled(t, suite)
  const transitions = ['maintenance-entered', 'maintenance-drained', 'maintenance-left']

  await enter(machine)
  await machine.run('systemctl kill -s SIGUSR1 myserver')
  await visit(machine)
  await visit(machine)
  await leave(machine)
  await machine.run('systemctl kill -s SIGUSR2 myserver')

  await t.test('has one line for each transition, however often it was asked for', async t => {
    const events = (await logLines(machine)).map(({ event }) => event)
    for (const transition of transitions) {
      t.equal(events.filter(event => event === transition).length, 1, transition)
    }
    const text = await machine.journal('--boot --unit myserver')
    for (const transition of transitions) t.equal(text.split(transition).length, 2, `${transition} is written once`)
  })

  await t.test('says who asked, how long it took and how many were refused', async t => {
    const lines = await logLines(machine)
    const find = (event: string) => lines.find(line => line.event === event)
    t.match(find('maintenance-entered'), { by: /SIGUSR1|signal/, inFlight: 0 })
    t.match(find('maintenance-drained'), { tookMs: Number })
    t.match(find('maintenance-left'), { by: /SIGUSR2|signal/, lastedMs: Number, refused: 2 })
  })

  await t.test('has entering among the warnings, and not leaving', async t => {
    const text = await machine.journal('--boot --unit myserver --priority warning')
    t.match(text, /maintenance-entered/)
    t.notMatch(text, /maintenance-left/)
    t.notMatch(text, /maintenance-drained/)
  })

  await t.test('leaves time, pid and host to the journal', async t => {
    for (const line of await logLines(machine)) {
      t.notOk('time' in line || 'pid' in line || 'hostname' in line, line.msg ?? 'a line')
    }
  })

  await t.test('finds a transition by its message id', async t => {
    const json = await machine.journal('--boot --unit myserver --output json')
    const entries = json.trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)
    for (const transition of transitions) {
      const id = entries.find(entry => String(entry.MESSAGE).includes(`"${transition}"`))?.MESSAGE_ID
      t.match(id, /^[0-9a-f]{32}$/, transition)
      const found = await machine.journal(`--boot --output cat MESSAGE_ID=${String(id)}`)
      t.equal(found.trim().split('\n').length, 1)
      t.match(found, transition)
    }
  })

  await t.test('can be read through pino-pretty', async t => {
    const node = '/opt/myserver/current/node_modules/.bin/node'
    const { stdout } = await machine.run(
      `journalctl --boot --no-pager --unit myserver --output cat | ${node} /src/node_modules/pino-pretty/bin.js --colorize=false`)
    t.match(stdout, /^WARN.*: maintenance entered$/m)
    t.notMatch(stdout, /^\{/m)
  })

  await t.test('shows one access line for each request that was served, and none for refused ones', async t => {
    const count = async () => (await logLines(machine)).filter(line => JSON.stringify(line).includes('/journal-test')).length
    await visit(machine, '/journal-test')
    await machine.waitFor('journalctl --boot --unit myserver --output cat', ({ stdout }) => stdout.includes('/journal-test'))
    t.equal(await count(), 1)
    await enter(machine)
    await visit(machine, '/journal-test')
    await leave(machine)
    t.equal(await count(), 1)
  })
})
