import { once } from 'node:events'
import { createRequire } from 'node:module'
import t, { type Test } from 'tap'
import { makeFirstThread, type StartThread, type WorkerThread } from '../../src/control/worker-thread.ts'
import { workerData } from '../helpers/worker-data.ts'

const threads = createRequire(import.meta.url)('node:worker_threads')

/** Starts a stand-in. @returns when it has loaded */
async function load (t: Test, start: StartThread): Promise<{ thread: WorkerThread, ended: Promise<Error | undefined> }> {
  const ready = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<Error | undefined>()
  const thread = start(workerData({}, 'stand-in'), {
    ready: ready.resolve,
    serving () {},
    ended (error) {
      ended.resolve(error)
      ready.reject(error)
    }
  })
  t.teardown(async () => {
    thread.terminate()
    await ended.promise
  })
  await ready.promise
  return { thread, ended: ended.promise }
}

t.test('the first thread is there before it is started, and those after it are made when they are', async t => {
  const made: unknown[] = []
  const { Worker } = threads
  process.on('worker', worker => made.push(worker))
  t.teardown(() => process.removeAllListeners('worker'))
  const begun = once(process, 'worker')
  const start = makeFirstThread()
  const [first] = await begun
  t.ok(first instanceof Worker)
  await load(t, start)
  t.equal(made.length, 1)
  await load(t, start)
  t.equal(made.length, 2)
})

t.test('a first thread that ended before it was started has ended when it is', async t => {
  const begun = once(process, 'worker')
  const start = makeFirstThread()
  const [worker] = await begun
  await worker.terminate()
  const ended = Promise.withResolvers<Error | undefined>()
  start(workerData({}, 'stand-in'), { ready () {}, serving () {}, ended: ended.resolve })
  await ended.promise
  t.pass('it was told')
})

t.test('what ends a thread is told', async t => {
  const { thread, ended } = await load(t, makeFirstThread())
  thread.terminate(new Error('it was in the way'))
  t.match(await ended, { message: 'it was in the way' })
  t.equal(await thread.ask('list', 10_000), undefined)
})
