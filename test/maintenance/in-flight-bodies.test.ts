import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import fastifyStatic from '@fastify/static'
import t, { type Test } from 'tap'
import { askAndHangUp, hold } from '../helpers/held.ts'
import { ask, Connection, countAfterAll, openSite, until } from '../helpers/http.ts'

t.test('an upload that is broken off is over', async t => {
  const site = await openSite(t, app => app.post('/', async () => t.fail('the handler ran')))
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: application/json', 'Content-Length: 1000')
  client.send('{"half":')
  await until(() => site.inFlight() === 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a handler that reads its upload as a stream is over once the client has hung up', async t => {
  const handler = hold()
  const site = await openSite(t, app => {
    app.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload))
    app.post('/', async (request, reply) => {
      handler.begun.resolve({ request, reply })
      await finished((request.body as Readable).resume())
      return 'done'
    })
  })
  const client = await Connection.open(t, site.port)
  client.ask('POST /', 'Content-Type: application/octet-stream', 'Content-Length: 1000')
  client.send('half')
  await handler.begun.promise
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a hijacked reply counts until its connection has closed', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: first\n\n')
    handler.begun.resolve({ request, reply })
  }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await client.receive('data: first')
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a hijacked reply whose async handler goes on counts until that has settled', async t => {
  const handler = hold()
  const site = await openSite(t, app => app.get('/', async (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200).write('begun')
    handler.begun.resolve({ request, reply })
    await handler.end.promise
  }))
  await askAndHangUp(t, site, handler)
  t.equal(site.inFlight(), 1)
  handler.end.resolve()
  t.equal(await countAfterAll(site), 0)
})

t.test('a file that is streamed counts until its client has it', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.get('/', (_request, reply) => {
    reply.type('application/octet-stream').send(createReadStream(path))
  }))
  const answer = ask(site.port, '/')
  await until(() => site.inFlight() === 1)
  t.equal((await answer).body.length, LARGE)
  t.equal(await countAfterAll(site), 0)
})

t.test('a file whose client has hung up is over', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.get('/', (_request, reply) => {
    reply.type('application/octet-stream').send(createReadStream(path))
  }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /')
  await client.receive('HTTP/1.1 200')
  client.socket.pause()
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a static file whose client has hung up is over', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.register(fastifyStatic, { root: join(path, '..') }))
  const client = await Connection.open(t, site.port)
  client.ask('GET /large')
  await client.receive('HTTP/1.1 200')
  client.socket.pause()
  t.equal(site.inFlight(), 1)
  client.hangUp()
  t.equal(await countAfterAll(site), 0)
})

t.test('a static file, its HEAD, a range, a cached and a missing one leave no count', async t => {
  const path = largeFile(t)
  const site = await openSite(t, app => app.register(fastifyStatic, { root: join(path, '..') }))
  const { headers: { etag } } = await ask(site.port, '/large')
  t.equal((await ask(site.port, '/large', { method: 'HEAD' })).status, 200)
  t.equal((await ask(site.port, '/large', { headers: { Range: 'bytes=0-9' } })).status, 206)
  t.equal((await ask(site.port, '/large', { headers: { 'If-None-Match': String(etag) } })).status, 304)
  t.equal((await ask(site.port, '/missing')).status, 404)
  t.equal(await countAfterAll(site), 0)
})

const LARGE = 8 * 1024 * 1024

function largeFile (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'myserver-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'large')
  writeFileSync(path, Buffer.alloc(LARGE, '.'))
  return path
}
