import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Switch } from '../../src/maintenance/switch.ts'
import { openApplication } from '../../src/serve/application.ts'
import { cutOff } from '../../src/serve/served.ts'
import type { WorkerData } from '../../src/worker-protocol.ts'
import { ask, Connection, listen, page, until } from '../helpers/http.ts'
import { readableLog, workerData } from '../helpers/worker-data.ts'

async function open (t: Test, config: Partial<WorkerData['config']>, level = 'info') {
  const data = workerData(config)
  const { logger, lines } = readableLog(level)
  const served = await openApplication(data, logger)
  t.teardown(async () => {
    await served.end()
    cutOff(served)
  })
  return { served, theSwitch: new Switch(data.memory), port: await listen(t, served.server), lines }
}

/** Writes a module. @returns its path */
function appModule (t: Test, source: string): string {
  return join(t.testdir({ 'app.mjs': source, 'package.json': '{}' }), 'app.mjs')
}

const load = (app: string) => openApplication(workerData({ app }), readableLog('silent').logger)

t.test('without a module it is the static site', async t => {
  const { port } = await open(t, { publicDir: t.testdir({ 'index.html': '<p>welcome' }) })
  t.equal((await ask(port, '/')).body, '<p>welcome')
})

t.test('a module is served', async t => {
  const { port } = await open(t, { app: appModule(t, "export default async app => { app.get('/', async () => 'mine') }") })
  t.equal((await ask(port, '/')).body, 'mine')
})

t.test('a module with a callback is served', async t => {
  const source = "export default (app, options, done) => { app.get('/', async () => 'mine'); done() }"
  const { port } = await open(t, { app: appModule(t, source) })
  t.equal((await ask(port, '/')).body, 'mine')
})

t.test('a module is behind the switch, with all that it has', async t => {
  const { port, theSwitch } = await open(t, { app: appModule(t, "export default async app => { app.get('/', async () => 'mine') }") })
  theSwitch.mode = 'maintenance'
  for (const path of ['/', '/missing', '/%']) {
    const { status, body } = await ask(port, path)
    t.equal(status, 503, path)
    t.equal(body, page.toString())
  }
  t.equal(theSwitch.refused(0), 3)
})

t.test('a request that fails is logged with why, at a level of its own', async t => {
  const source = "export default async app => { app.get('/', async () => { throw new Error('boom') }); app.post('/', async () => {}) }"
  const { port, lines } = await open(t, { app: appModule(t, source) }, 'warn')
  t.equal((await ask(port, '/')).status, 500)
  t.equal((await ask(port, '/', { method: 'POST', headers: { 'Content-Type': 'a/b', 'Content-Length': '0' } })).status, 415)
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 50, event: 'request-failed', method: 'GET', url: '/', err: { message: 'boom', stack: /boom/ } })
})

t.test('a request for a malformed path is a line of the access log too, unless it is refused', async t => {
  const { port, theSwitch, lines } = await open(t, {})
  const requests = (): unknown[] => lines.filter(({ event }) => event === 'request').map(({ url, status }) => [url, status])
  t.equal((await ask(port, '/%')).status, 400)
  theSwitch.mode = 'maintenance'
  t.equal((await ask(port, '/%')).status, 503)
  theSwitch.mode = 'live'
  await ask(port, '/')
  await until(() => requests().length === 2)
  t.same(requests(), [['/%', 400], ['/', 200]])
})

t.test('a module\'s hooks and handlers hold for everything, as if it had made the server', async t => {
  const { port } = await open(t, {
    app: appModule(t, `export default async app => {
      app.addHook('onSend', async (request, reply) => { reply.header('X-Mine', 'yes') })
      app.setNotFoundHandler(async (request, reply) => reply.code(404).send('my own'))
    }`)
  })
  const { headers, body } = await ask(port, '/missing')
  t.equal(headers['x-mine'], 'yes')
  t.equal(body, 'my own')
})

t.test('a module has app.maintenance, and cannot set the mode', async t => {
  const { port, theSwitch } = await open(t, {
    app: appModule(t, `export default async app => {
      app.get('/', async () => app.maintenance.mode)
      app.post('/', async () => {
        try { app.maintenance.set('maintenance') } catch (error) { return error.code }
      })
    }`)
  })
  t.equal((await ask(port, '/')).body, 'live')
  t.equal((await ask(port, '/', { method: 'POST' })).body, 'ERR_NOT_OURS')
  t.equal(theSwitch.mode, 'live')
})

t.test('a module that is not there is named', async t => {
  const path = join(t.testdir({}), 'missing.mjs')
  await t.rejects(load(path), { code: 'ERR_APP_LOAD', message: `APP=${path} cannot be loaded: ` })
})

t.test('a module with a mistake in it is named, with the mistake', async t => {
  const path = appModule(t, 'export default async app => {')
  await t.rejects(load(path), { code: 'ERR_APP_LOAD', message: `APP=${path} cannot be loaded: `, cause: SyntaxError })
})

t.test('a module that fails while it is loaded is named, with its error', async t => {
  const path = appModule(t, "throw new Error('no database')")
  await t.rejects(load(path), { code: 'ERR_APP_LOAD', message: `APP=${path} cannot be loaded: no database` })
})

for (const source of ['export const app = 1', 'export default { a: 1 }', 'export default null']) {
  t.test(`a module that says "${source}" is told what is expected`, async t => {
    const path = appModule(t, source)
    await t.rejects(load(path), { code: 'ERR_APP_LOAD', message: `APP=${path}: expected a Fastify plugin as its default export` })
  })
}

t.test('a plugin that fails does so with its own error', async t => {
  await t.rejects(load(appModule(t, "export default async () => { throw new RangeError('out of range') }")),
    { message: 'out of range' })
})

t.test('X-Forwarded-For is believed from trusted proxies only', async t => {
  const app = appModule(t, "export default async app => { app.get('/', async request => request.ip) }")
  const headers = { 'X-Forwarded-For': '203.0.113.7' }
  const believing = await open(t, { app, trustProxy: ['127.0.0.0/8'] })
  t.equal((await ask(believing.port, '/', { headers })).body, '203.0.113.7')
  const wary = await open(t, { app, trustProxy: ['192.0.2.1'] })
  t.equal((await ask(wary.port, '/', { headers })).body, '127.0.0.1')
  const lonely = await open(t, { app, trustProxy: [] })
  t.equal((await ask(lonely.port, '/', { headers })).body, '127.0.0.1')
})

t.test('a served request is one line in the log', async t => {
  const { port, lines } = await open(t, { publicDir: t.testdir({ 'index.html': '<p>welcome' }) })
  await ask(port, '/')
  await until(() => lines.some(({ event }) => event === 'request'))
  t.equal(lines.length, 1)
})

t.test('above the level info no line is written for a request', async t => {
  const { port, lines } = await open(t, { publicDir: t.testdir({ 'index.html': '<p>welcome' }) }, 'warn')
  await ask(port, '/')
  await ask(port, '/missing')
  t.same(lines, [])
})

t.test('a new notice reaches those who are refused', async t => {
  const { port, served, theSwitch } = await open(t, {})
  theSwitch.mode = 'maintenance'
  served.setNotice({ page: Buffer.from('<p>new'), retryAfterSeconds: 7 })
  t.equal((await ask(port, '/')).body, '<p>new')
})

t.test('cutting it off closes every connection, upgraded ones too', async t => {
  const source = `export default async app => {
    app.get('/', () => {})
    app.server.on('upgrade', (request, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: example\\r\\n\\r\\n')
    })
  }`
  const { port, served, theSwitch } = await open(t, { app: appModule(t, source) })
  const waiting = await Connection.open(t, port)
  waiting.ask('GET /')
  const upgraded = await Connection.open(t, port)
  upgraded.ask('GET /', 'Connection: Upgrade', 'Upgrade: example')
  await upgraded.receive('101')
  await until(() => theSwitch.inFlight('live') === 2)
  const ends = [waiting, upgraded].map(({ socket }) => once(socket, 'end'))
  cutOff(served)
  await Promise.all(ends)
  t.ok(upgraded.received.startsWith('HTTP/1.1 101'))
})
