import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { Switch } from '../../src/maintenance/switch.ts'
import type { FromWorker, HandedOver, ToWorker, WorkerData } from '../../src/worker-protocol.ts'
import { ask, page, until } from '../helpers/http.ts'
import { shareSocket } from '../helpers/shared-socket.ts'
import { workerData } from '../helpers/worker-data.ts'
import { path } from './held-app.ts'

const GRACE_MS = 5_000

t.jobs = 4

function start (t: Test, data: WorkerData) {
  const { port1: port, port2 } = new MessageChannel()
  const worker = new Worker(new URL('../../src/serve/worker.ts', import.meta.url), {
    workerData: { port: port2 } satisfies HandedOver, transferList: [port2]
  })
  port.postMessage({ type: 'start', data } satisfies ToWorker)
  t.teardown(async () => {
    await worker.terminate()
    port.close()
  })
  return {
    worker,
    theSwitch: new Switch(data.memory),
    tell: (message: ToWorker): void => port.postMessage(message),
    async hear (type: FromWorker['type']): Promise<void> {
      const [message] = await once(port, 'message') as [FromWorker]
      t.equal(message.type, type)
    },
    async answer (): Promise<unknown> {
      const [message] = await once(port, 'message') as [FromWorker]
      return message.type === 'answer' && message.answer
    }
  }
}

for (const role of ['application', 'stand-in'] as const) {
  t.test(`${role}: it is ready, serves once it has a descriptor, and ends when it is told to`, async t => {
    const socket = await shareSocket(t)
    const { worker, hear, tell, theSwitch } = start(t, workerData({ app: path }, role))
    await hear('ready')
    tell({ type: 'listen', fd: socket.duplicate() })
    await hear('serving')
    t.equal((await ask(socket.port, '/')).status, role === 'application' ? 200 : 503)
    theSwitch.mode = 'maintenance'
    t.equal((await ask(socket.port, '/')).body, page.toString())
    tell({ type: 'close', graceMs: GRACE_MS })
    t.same(await once(worker, 'exit'), [0])
  })
}

t.test('what it is told while it loads is not lost', async t => {
  const socket = await shareSocket(t)
  const { hear, tell, theSwitch } = start(t, workerData({ app: path }))
  theSwitch.mode = 'maintenance'
  tell({ type: 'notice', notice: { page: Buffer.from('a newer page'), retryAfterSeconds: 1 } })
  tell({ type: 'listen', fd: socket.duplicate() })
  await hear('ready')
  await hear('serving')
  t.equal((await ask(socket.port, '/')).body, 'a newer page')
})

t.test('its beats show that its event loop turns', async t => {
  const { hear, theSwitch } = start(t, workerData({}, 'stand-in'))
  await hear('ready')
  const before = theSwitch.beats(0)
  await until(() => theSwitch.beats(0) > before + 1)
  t.pass('they have changed twice')
})

t.test('a new notice reaches those who are refused', async t => {
  const socket = await shareSocket(t)
  const { hear, tell } = start(t, workerData({}, 'stand-in'))
  await hear('ready')
  tell({ type: 'listen', fd: socket.duplicate() })
  await hear('serving')
  tell({ type: 'notice', notice: { page: Buffer.from('<p>new'), retryAfterSeconds: 7 } })
  let body = page.toString()
  while (body === page.toString()) ({ body } = await ask(socket.port, '/'))
  t.equal(body, '<p>new')
})

t.test('an application that cannot be loaded is the end of it', async t => {
  const { worker } = start(t, workerData({ app: '/no/such/module.js' }))
  const [error] = await once(worker, 'error')
  t.match(error, { message: /^APP=\/no\/such\/module\.js cannot be loaded/ })
})

t.test('a descriptor that cannot be listened on is the end of it', async t => {
  const { worker, hear, tell } = start(t, workerData({}, 'stand-in'))
  await hear('ready')
  tell({ type: 'listen', fd: 99_999 })
  const [error] = await once(worker, 'error')
  t.ok(error instanceof Error)
})

t.test('asked to put away only after it was opened again, the application keeps what it holds', async t => {
  const app = t.testdir({
    'app.mjs': "export default async app => { app.maintenance.onDrained(() => { throw new Error('put away') }) }", 'package.json': '{}'
  })
  const { answer, hear, tell, theSwitch } = start(t, workerData({ app: `${app}/app.mjs` }))
  await hear('ready')
  tell({ type: 'ask', id: 1, question: 'drained' })
  t.same(await answer(), [])
  theSwitch.mode = 'maintenance'
  tell({ type: 'ask', id: 2, question: 'drained' })
  t.same(await answer(), ['put away'])
})

t.test('it ends although its application leaves timers behind', async t => {
  const app = t.testdir({ 'app.mjs': 'export default async app => { setInterval(() => {}, 1000) }', 'package.json': '{}' })
  const { worker, hear, tell } = start(t, workerData({ app: `${app}/app.mjs` }))
  await hear('ready')
  tell({ type: 'close', graceMs: GRACE_MS })
  t.same(await once(worker, 'exit'), [0])
})

t.test('nothing else may run it', async t => {
  await t.rejects(import('../../src/serve/worker.ts'), { message: 'worker.ts runs in a worker thread only' })
})
