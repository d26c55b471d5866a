import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Gate, Switch } from '../../src/maintenance/switch.ts'
import { openApplication } from '../../src/serve/application.ts'
import { closeGracefully } from '../../src/serve/close.ts'
import { cutOff, type Served } from '../../src/serve/served.ts'
import { openStandIn } from '../../src/serve/stand-in.ts'
import { ask, Connection, listen, notice, oneConnection, page, statuses, until } from '../helpers/http.ts'
import { shareSocket } from '../helpers/shared-socket.ts'
import { readableLog, workerData } from '../helpers/worker-data.ts'
import { closed as closedServers, events, held, path } from './held-app.ts'

// Longer than any of these tests takes: whoever needs it has failed.
const GRACE_MS = 5_000

t.jobs = 8

async function open (t: Test) {
  const data = workerData({ app: path })
  const served = await openApplication(data, readableLog('silent').logger)
  t.teardown(async () => {
    await served.end()
    cutOff(served)
  })
  const port = await listen(t, served.server)
  const gate = new Gate(data.memory, data.slot)
  return { port, gate, served, theSwitch: new Switch(data.memory), close: (graceMs = GRACE_MS) => closeGracefully(served, gate, graceMs) }
}

t.test('a request that is running is finished', async t => {
  const { port, close } = await open(t)
  const begun = once(held, 'begun finish')
  const answer = ask(port, '/held/finish')
  await begun
  let isClosed = false
  const closed = close().then(() => { isClosed = true })
  await refusesConnections(port)
  t.notOk(isClosed)
  held.emit('end finish')
  t.equal((await answer).body, 'done')
  await closed
})

t.test('no connection is accepted any more', async t => {
  const { port, close } = await open(t)
  const closed = close()
  await refusesConnections(port)
  await closed
})

t.test('a request on a kept connection is still answered, and told to be the last', async t => {
  const { port, close } = await open(t)
  const agent = oneConnection(t)
  t.equal((await ask(port, '/', { agent })).headers.connection, 'keep-alive')
  const closed = close()
  const { status, headers } = await ask(port, '/', { agent })
  t.equal(status, 200)
  t.equal(headers.connection, 'close')
  await closed
})

t.test('in maintenance, a request on a kept connection is still refused properly', async t => {
  const { port, close, theSwitch } = await open(t)
  const agent = oneConnection(t)
  await ask(port, '/', { agent })
  theSwitch.mode = 'maintenance'
  const closed = close()
  const { status, headers, body } = await ask(port, '/', { agent })
  t.equal(status, 503)
  t.equal(headers.connection, 'close')
  t.equal(body, page.toString())
  await closed
})

t.test('a connection that was just accepted has its request answered', async t => {
  const { port, close, served } = await open(t)
  const accepted = once(served.server, 'connection')
  const client = await Connection.open(t, port)
  await accepted
  const closed = close()
  await refusesConnections(port)
  client.ask('GET /')
  await client.receive('hello')
  await client.end()
  t.match(client.received, /connection: close/i)
  await closed
})

t.test('an idle connection is closed without a reset', async t => {
  const { port, close } = await open(t)
  const client = await Connection.open(t, port)
  client.ask('GET /')
  await client.receive('hello')
  await close()
  await client.end()
  t.same(statuses(client.received), [200])
})

t.test('a connection on which nothing was ever sent is closed like an idle one', async t => {
  const { port, served, gate } = await open(t)
  const accepted = once(served.server, 'connection')
  const client = await Connection.open(t, port)
  const [socket] = await accepted
  let leftToCut = true
  const watched: Served = {
    ...served,
    async end () {
      leftToCut = !socket.destroyed
      await served.end()
    }
  }
  await closeGracefully(watched, gate, 2_000)
  await client.end()
  t.notOk(leftToCut)
})

t.test('what is not over after the grace is cut off', async t => {
  const { port, close, served } = await open(t)
  const begun = once(held, 'begun cut')
  const answer = ask(port, '/held/cut')
  await begun
  const closed = close(50).then(() => closedServers.has(served.server))
  const [outcome] = await Promise.allSettled([answer, closed])
  t.equal(outcome.status, 'rejected')
  t.ok(await closed, 'the onClose hooks of its application have run')
  held.emit('end cut')
})

t.test('a request whose client never sends its end is cut off after the grace', async t => {
  const { port, close, served } = await open(t)
  const accepted = once(served.server, 'connection')
  const client = await Connection.open(t, port)
  client.send('GET / HTT')
  await accepted
  await close(50)
  await client.end().catch(() => {})
  t.equal(client.received, '')
})

t.test('an upgraded connection does not keep the application from being closed, and is cut off after the grace', async t => {
  const { port, close, served } = await open(t)
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Connection: Upgrade', 'Upgrade: example')
  await client.receive('101 Switching')
  await close(50)
  t.ok(closedServers.has(served.server), 'its onClose hooks have run')
  await client.end().catch(() => {})
  t.ok(client.socket.destroyed)
})

t.test('the application is closed once its requests are over', async t => {
  const { port, close } = await open(t)
  const begun = once(held, 'begun order')
  const answer = ask(port, '/held/order')
  await begun
  const closed = close()
  await refusesConnections(port)
  held.emit('end order')
  await answer
  await closed
  const over = events.indexOf('over order')
  t.ok(over >= 0)
  t.ok(events.indexOf('closed', over) > over)
})

t.test('a stand-in closes too', async t => {
  const data = workerData({}, 'stand-in')
  const gate = new Gate(data.memory, 0)
  const standIn = openStandIn(gate, notice)
  const port = await listen(t, standIn.server)
  const agent = oneConnection(t)
  await ask(port, '/', { agent })
  const closed = closeGracefully(standIn, gate, GRACE_MS)
  t.equal((await ask(port, '/', { agent })).headers.connection, 'close')
  await closed
  t.notOk(standIn.server.listening)
})

t.test('what never listened closes', async t => {
  const data = workerData({}, 'stand-in')
  const gate = new Gate(data.memory, 0)
  await closeGracefully(openStandIn(gate, notice), gate, GRACE_MS)
})

t.test('no timer is left behind', { buffered: false }, async t => {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const data = workerData({}, 'stand-in')
  const gate = new Gate(data.memory, 0)
  const before = timers()
  await closeGracefully(openStandIn(gate, notice), gate, GRACE_MS)
  t.equal(timers(), before)
})

t.test('under load, with another server on the same socket, no request is lost', async t => {
  const socket = await shareSocket(t)
  const serve = async (): Promise<() => Promise<void>> => {
    const data = workerData({ app: path })
    const served: Served = await openApplication(data, readableLog('silent').logger)
    served.server.listen({ fd: socket.duplicate() })
    await once(served.server, 'listening')
    return () => closeGracefully(served, new Gate(data.memory, 0), GRACE_MS)
  }
  const failures: unknown[] = []
  let answered = 0
  const load = { stopping: false }
  const lanes = Array.from({ length: 8 }, async (_, lane) => {
    for (let round = lane; !load.stopping; round++) {
      await requestOnce(socket.port, round % 4).then(() => answered++, error => failures.push(error))
    }
  })
  let close = await serve()
  for (let i = 0; i < 3; i++) {
    const next = await serve()
    const before = answered
    await until(() => answered > before + 100)
    await close()
    close = next
  }
  load.stopping = true
  await Promise.all(lanes)
  await close()
  t.same(failures, [])
  t.ok(answered > 500, `${answered} answered`)
})

/** Waits until nothing listens any more. */
async function refusesConnections (port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1')
    const refused = await Promise.race([
      once(socket, 'connect').then(() => false),
      once(socket, 'error').then(() => true)
    ]).catch(() => true)
    socket.destroy()
    if (refused) return
  }
}

/** A request on a connection of its own. @param turns how long the client takes from connecting to sending */
async function requestOnce (port: number, turns: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    for (let i = 0; i < turns; i++) await turn()
    socket.write('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n')
    let text = ''
    for await (const chunk of socket.setEncoding('latin1')) {
      text += chunk
      if (text.endsWith('hello')) return
    }
    throw new Error(`closed after: ${text}`)
  } finally {
    socket.destroy()
  }
}
