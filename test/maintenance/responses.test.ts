import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Refusal } from '../../src/maintenance/responses.ts'
import { ask, Connection, listen, notice, oneConnection, page, statuses } from '../helpers/http.ts'

async function openRefusing (t: Test): Promise<{ port: number, server: Server }> {
  const refusal = new Refusal(notice)
  const server = createServer((request, response) => refusal.send(request, response))
  server.on('checkContinue', (request, response) => refusal.send(request, response))
  server.on('upgrade', (request, socket) => refusal.sendRaw(request, socket))
  return { server, port: await listen(t, server) }
}

t.test('a browser gets the page, with the headers that keep it from being kept', async t => {
  const { port } = await openRefusing(t)
  const { status, headers, body } = await ask(port, '/', { headers: { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } })
  t.equal(status, 503)
  t.match(headers, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': String(page.length),
    'retry-after': '120',
    'cache-control': 'no-store'
  })
  t.equal(body, page.toString())
})

for (const accept of ['application/json', 'application/vnd.api+json, */*', 'application/problem+json']) {
  t.test(`a client that accepts ${accept} gets the same as JSON`, async t => {
    const { port } = await openRefusing(t)
    const { status, headers, body } = await ask(port, '/', { headers: { Accept: accept } })
    t.equal(status, 503)
    t.match(headers, { 'content-type': 'application/problem+json', 'retry-after': '120', 'cache-control': 'no-store' })
    t.equal(JSON.parse(body).status, 503)
    t.equal(headers['content-length'], String(body.length))
  })
}

for (const accept of [undefined, '*/*', 'text/html, application/json', 'image/png']) {
  t.test(`a client that accepts ${accept ?? 'it does not say what'} gets the page`, async t => {
    const { port } = await openRefusing(t)
    const { headers } = await ask(port, '/', { headers: accept === undefined ? {} : { Accept: accept } })
    t.equal(headers['content-type'], 'text/html; charset=utf-8')
  })
}

t.test('a cache is told that the answer depends on what is accepted', async t => {
  const { port } = await openRefusing(t)
  t.match((await ask(port, '/')).headers.vary, /accept/i)
})

t.test('HEAD gets the same headers and no body', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('HEAD /', 'Connection: close')
  await client.end()
  const [head, body] = client.received.split('\r\n\r\n')
  t.match(head, `Content-Length: ${page.length}`)
  t.equal(body, '')
})

t.test('the connection of a refused request is kept', async t => {
  const { port, server } = await openRefusing(t)
  let connections = 0
  server.on('connection', () => connections++)
  const agent = oneConnection(t)
  for (let i = 0; i < 5; i++) t.equal((await ask(port, '/', { agent })).headers.connection, 'keep-alive')
  t.equal(connections, 1)
})

t.test('the connection is kept after a small upload too', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('POST /', 'Content-Length: 5')
  client.send('small')
  client.ask('GET /', 'Connection: close')
  await client.end()
  t.same(statuses(client.received), [503, 503])
})

t.test('pipelined requests are refused in their order', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Accept: application/json')
  client.ask('GET /')
  client.ask('GET /', 'Accept: application/json', 'Connection: close')
  await client.end()
  t.same([...client.received.matchAll(/Content-Type: (\S+)/g)].map(([, type]) => type),
    ['application/problem+json', 'text/html;', 'application/problem+json'])
})

t.test('a client of HTTP/1.0 is answered and let go', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.send('GET / HTTP/1.0\r\n\r\n')
  await client.end()
  t.ok(client.received.endsWith(page.toString()))
})

const MEGABYTE = Buffer.alloc(2 ** 20, 'x')
const MEGABYTES = 50

// Writes it all whatever comes back, and only then reads: the client that is most easily robbed of its answer.
async function upload (client: Connection, frame: (chunk: Buffer) => Iterable<Uint8Array | string>, end = ''): Promise<void> {
  for (let i = 0; i < MEGABYTES; i++) {
    for (const piece of frame(MEGABYTE)) {
      if (!client.socket.write(piece)) await once(client.socket, 'drain')
    }
  }
  client.socket.end(end)
  await client.closed
}

t.test('a client that uploads 50 MB without looking up reads the complete answer', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('POST /', `Content-Length: ${MEGABYTES * MEGABYTE.length}`)
  await upload(client, chunk => [chunk])
  t.match(client.received, 'Connection: close')
  t.ok(client.received.endsWith(page.toString()))
})

t.test('a client that uploads 50 MB in chunks reads the complete answer', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('PUT /', 'Transfer-Encoding: chunked')
  await upload(client, chunk => [`${chunk.length.toString(16)}\r\n`, chunk, '\r\n'], '0\r\n\r\n')
  t.match(client.received, 'Connection: close')
  t.ok(client.received.endsWith(page.toString()))
})

t.test('a large upload is answered before it has been sent', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('POST /', 'Content-Length: 1000000000')
  await client.receive(page.toString())
  await client.end()
  t.pass('closed without a reset')
})

t.test('a large upload that never ends is cut off after a while', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { port, server } = await openRefusing(t)
  const accepted = once(server, 'connection')
  const client = await Connection.open(t, port)
  client.ask('POST /', 'Content-Length: 1000000000')
  await client.receive(page.toString())
  const [socket] = await accepted
  mock.timers.tick(4_999)
  t.notOk(socket.destroyed)
  mock.timers.tick(1)
  t.ok(socket.destroyed)
})

t.test('what follows a refused large upload on its connection is not answered', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('POST /', 'Transfer-Encoding: chunked')
  client.send('0\r\n\r\n')
  client.ask('GET /')
  await client.end()
  t.same(statuses(client.received), [503])
})

for (const [what, ...headers] of [['HTTP/1.0'], ['Connection: close', 'Connection: close']]) {
  t.test(`a small upload that arrives late gets its answer although its connection closes (${what})`, async t => {
    const { port } = await openRefusing(t)
    const client = await Connection.open(t, port)
    client.send(['POST / HTTP/1.' + (what === 'HTTP/1.0' ? '0' : '1'), 'Host: example.org', ...headers, 'Content-Length: 50000', '', ''].join('\r\n'))
    await client.receive(page.toString())
    // A reset would come in answer to this.
    for (let i = 0; i < 5; i++) {
      client.send(Buffer.alloc(10_000))
      await turn()
    }
    await client.end()
    t.same(statuses(client.received), [503])
  })
}

t.test('an upgrade is answered on the raw connection, which is then closed', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Connection: Upgrade', 'Upgrade: websocket')
  await client.end()
  const [head = '', body] = client.received.split('\r\n\r\n')
  const lines = head.split('\r\n')
  t.equal(lines[0], 'HTTP/1.1 503 Service Unavailable')
  for (const header of ['Retry-After: 120', 'Cache-Control: no-store', 'Connection: close', `Content-Length: ${page.length}`]) {
    t.ok(lines.includes(header), header)
  }
  t.ok(lines.some(line => /^Date: .+ GMT$/.test(line)))
  t.equal(body, page.toString())
})

t.test('an upgrade that asks for JSON gets JSON', async t => {
  const { port } = await openRefusing(t)
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Connection: Upgrade', 'Upgrade: websocket', 'Accept: application/json')
  await client.end()
  t.equal(JSON.parse(client.received.split('\r\n\r\n')[1] ?? '').status, 503)
})

t.test('a page that is changed after it was handed over is told from the next notice on', async t => {
  const page = Buffer.from('<p>one')
  const refusal = new Refusal({ page, retryAfterSeconds: 1 })
  const server = createServer((request, response) => refusal.send(request, response))
  const port = await listen(t, server)
  page.write('<p>two')
  t.equal((await ask(port, '/')).body, '<p>one')
})
