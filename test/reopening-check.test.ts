import { execFileSync } from 'node:child_process'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { closeSync, readFileSync } from 'node:fs'
import { createServer as createTcpServer, connect, type AddressInfo, type Server as TcpServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { parseCheckTarget, runCheck } from '../src/reopening-check.ts'
import { duplicate } from '../src/platform/libc.ts'
import { newFolder, type Scope } from './helpers/places.ts'

// Long enough for a machine that is busy; a test that waits for it names a shorter one.
const TIMEOUT_MS = 10_000

async function check (target: string, timeoutMs = TIMEOUT_MS): Promise<string | undefined> {
  return await runCheck(parseCheckTarget(target), new AbortController().signal, timeoutMs)
}

async function listen (t: Scope, server: TcpServer | Server, where: object = { host: '127.0.0.1', port: 0 }): Promise<number> {
  server.listen(where)
  await once(server, 'listening')
  t.teardown(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function http (t: Scope, answer: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(t, createServer(answer))}/healthy?deep=1`
}

/** A port of this machine on which nobody listens. */
async function closedPort (t: Scope): Promise<number> {
  const server = createTcpServer()
  const port = await listen(t, server)
  server.close()
  await once(server, 'close')
  return port
}

for (const status of [200, 204, 299]) {
  t.test(`an answer of ${status} passes`, async t => {
    t.equal(await check(await http(t, (_request, response) => { response.writeHead(status).end() })), undefined)
  })
}

for (const status of [301, 302, 404, 500, 503]) {
  t.test(`an answer of ${status} does not pass, and is told`, async t => {
    let asked = 0
    const url = await http(t, (_request, response) => {
      asked++
      response.writeHead(status, { Location: '/healthy' }).end()
    })
    t.equal(await check(url), `it answered ${status}`)
    t.equal(asked, 1, 'a redirect is not followed')
  })
}

t.test('the whole URL is asked for, with a name in the log of who is asked', async t => {
  const seen: unknown[] = []
  const url = await http(t, (request, response) => {
    seen.push(request.method, request.url, request.headers['user-agent'])
    response.end()
  })
  await check(url)
  t.same(seen, ['GET', '/healthy?deep=1', 'myserver-check'])
})

t.test('an answer that never ends passes by its status', async t => {
  const closed = Promise.withResolvers<void>()
  const url = await http(t, (_request, response) => {
    response.write('x'.repeat(1_000_000))
    response.once('close', closed.resolve)
  })
  t.equal(await check(url), undefined)
  await closed.promise
})

t.test('a server that says nothing is given up on', async t => {
  const closed = Promise.withResolvers<void>()
  const url = await http(t, (_request, response) => { response.once('close', closed.resolve) })
  t.equal(await check(url, 200), 'no answer within 0.2 s')
  await closed.promise
})

t.test('a server that hangs up does not pass', async t => {
  const url = await http(t, request => { request.socket.destroy() })
  t.equal(await check(url), 'socket hang up')
})

t.test('what is no HTTP does not pass', async t => {
  const port = await listen(t, createTcpServer(socket => { socket.end('220 mail.example.org ESMTP\r\n') }))
  t.match(await check(`http://127.0.0.1:${port}`), /Parse Error/)
})

t.test('a certificate that nobody trusts does not pass', async t => {
  const folder = newFolder(t)
  const [key = '', cert = ''] = ['key.pem', 'cert.pem'].map(name => join(folder, name))
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-subj', '/CN=localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) => { response.end() })
  t.match(await check(`https://127.0.0.1:${await listen(t, server)}`), /self-signed certificate/)
})

t.test('https to a server that speaks no TLS does not pass', async t => {
  const url = await http(t, (_request, response) => { response.end() })
  t.match(await check(url.replace('http:', 'https:')), /SSL|wrong version/i)
})

for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
  t.test(`whoever listens on tcp://${host} passes, and is told nothing`, async t => {
    const received: Buffer[] = []
    const closed = Promise.withResolvers<void>()
    const port = await listen(t, createTcpServer(socket => {
      socket.on('data', data => received.push(data)).once('close', () => closed.resolve())
    }), { host: host.replace(/[[\]]/g, ''), port: 0 })
    t.equal(await check(`tcp://${host}:${port}`), undefined)
    await closed.promise
    t.same(received, [])
  })
}

t.test('HTTP over IPv6 passes', async t => {
  const port = await listen(t, createServer((_request, response) => { response.end() }), { host: '::1', port: 0 })
  t.equal(await check(`http://[::1]:${port}/`), undefined)
})

t.test('a port on which nobody listens does not pass, over TCP and HTTP', async t => {
  const port = await closedPort(t)
  t.match(await check(`tcp://127.0.0.1:${port}`), /ECONNREFUSED 127\.0\.0\.1/)
  t.match(await check(`http://127.0.0.1:${port}`), /ECONNREFUSED/)
})

t.test('where a name has several addresses, the failure at each is told', async t => {
  const port = await closedPort(t)
  t.match(await check(`tcp://localhost:${port}`), /ECONNREFUSED/)
})

t.test('a name that does not exist is told', async t => {
  t.match(await check('tcp://nowhere.invalid:5432'), /nowhere\.invalid/)
})

t.test('a server that is there and takes no connection is given up on', async t => {
  // It listens, and nobody accepts: when two wait, the kernel drops what comes (listen(2), backlog).
  const server = createTcpServer()
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const fd = duplicate((server as unknown as { _handle: { fd: number } })._handle.fd)
  t.teardown(() => closeSync(fd))
  server.close()
  for (let i = 0; i < 2; i++) {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
  }
  t.equal(await check(`tcp://127.0.0.1:${port}`, 300), 'no connection within 0.3 s')
})

t.test('a Unix socket passes while somebody listens on it', async t => {
  const path = join(newFolder(t), 'database.sock')
  t.match(await check(path), /ENOENT/)
  await listen(t, createTcpServer(socket => { socket.end() }), { path })
  t.equal(await check(path), undefined)
})

t.test('every kind of target is told apart', async t => {
  t.same(parseCheckTarget('/run/db.sock'), { kind: 'unix', path: '/run/db.sock' })
  t.same(parseCheckTarget('tcp://db:5432'), { kind: 'tcp', host: 'db', port: 5432 })
  t.same(parseCheckTarget('tcp://[fe80::1]:5432/'), { kind: 'tcp', host: 'fe80::1', port: 5432 })
  t.match(parseCheckTarget('https://db/healthy'), { kind: 'http' })
})

for (const value of ['', 'db:5432', 'tcp://db', 'tcp://db:5432/path', 'tcp://db:70000', 'postgres://db', 'run/db.sock', 'ftp://db:21', 'tcp://db:0',
  'tcp://:5432', 'http://db:0/', 'http:5432', 'http:/db', 'https:db']) {
  t.test(`"${value}" is no target, and what would be is told`, async t => {
    t.throws(() => parseCheckTarget(value), { message: /^expected http:\/\/…, https:\/\/…, tcp:\/\/host:port or the absolute path/ })
  })
}

for (const [what, target] of [['an answer', 'http'], ['a connection', 'tcp']] as const) {
  t.test(`a check that waits for ${what} ends at once when it is not wanted any more`, async t => {
    const stop = new AbortController()
    const server = await listen(t, createTcpServer(() => stop.abort('stopping')))
    const where = target === 'http' ? `http://127.0.0.1:${server}` : 'tcp://192.0.2.1:5432'
    if (target === 'tcp') stop.abort('stopping')
    await t.rejects(runCheck(parseCheckTarget(where), stop.signal, TIMEOUT_MS).catch((why: unknown) => { throw new Error(String(why)) }),
      { message: 'stopping' })
  })
}
