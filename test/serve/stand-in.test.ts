import { METHODS } from 'node:http'
import t, { type Test } from 'tap'
import { Gate, Switch } from '../../src/maintenance/switch.ts'
import { cutOff } from '../../src/serve/served.ts'
import { openStandIn } from '../../src/serve/stand-in.ts'
import { ask, Connection, listen, notice, page, statuses } from '../helpers/http.ts'
import { workerData } from '../helpers/worker-data.ts'

async function open (t: Test) {
  const { memory, slot } = workerData({}, 'stand-in')
  const standIn = openStandIn(new Gate(memory, slot), notice)
  return { standIn, theSwitch: new Switch(memory), port: await listen(t, standIn.server) }
}

t.test('it refuses whatever is asked, in every mode', async t => {
  const { theSwitch, port } = await open(t)
  for (const mode of ['live', 'read-only', 'maintenance'] as const) {
    theSwitch.mode = mode
    const { status, headers, body } = await ask(port, '/any/path')
    t.equal(status, 503)
    t.equal(headers['retry-after'], '120')
    t.equal(body, page.toString())
  }
})

t.test('it refuses every method, and counts it', async t => {
  const { theSwitch, port } = await open(t)
  for (const method of METHODS) {
    const client = await Connection.open(t, port)
    client.ask(`${method} ${method === 'CONNECT' ? 'example.org:443' : '/'}`, 'Content-Length: 0')
    await client.receive(method === 'HEAD' ? '\r\n\r\n' : page.toString())
    t.same(statuses(client.received), [503], method)
    client.hangUp()
  }
  t.equal(theSwitch.refused(0), METHODS.length)
  t.equal(theSwitch.inFlight('live'), 0)
})

for (const [what, ...headers] of [
  ['an upgrade', 'Connection: Upgrade', 'Upgrade: websocket'],
  ['a client that awaits 100 Continue', 'Content-Length: 10', 'Expect: 100-continue'],
  ['an expectation nobody knows', 'Expect: a miracle']
] as const) {
  t.test(`it refuses ${what}`, async t => {
    const { port } = await open(t)
    const client = await Connection.open(t, port)
    client.ask('GET /', ...headers)
    await client.receive(page.toString())
    t.same(statuses(client.received), [503])
  })
}

t.test('it refuses paths that are malformed or too long', async t => {
  const { port } = await open(t)
  for (const path of ['/%', `/${'x'.repeat(8_000)}`]) t.equal((await ask(port, path)).status, 503)
})

t.test('it tells a new notice from then on', async t => {
  const { standIn, port } = await open(t)
  standIn.setNotice({ page: Buffer.from('<p>new'), retryAfterSeconds: 7 })
  const { headers, body } = await ask(port, '/')
  t.equal(body, '<p>new')
  t.equal(headers['retry-after'], '7')
})

t.test('cutting it off closes its connections', async t => {
  const { standIn, port } = await open(t)
  const client = await Connection.open(t, port)
  client.ask('GET /')
  await client.receive(page.toString())
  cutOff(standIn)
  await client.end()
  t.same(statuses(client.received), [503])
})
