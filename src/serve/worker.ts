// A worker thread: it is told what to serve, loads it, asks for the socket, serves, and closes when told to. It decides
// nothing about the mode.

import { on } from 'node:events'
import { flushCompileCache } from 'node:module'
import { isMainThread, workerData } from 'node:worker_threads'
import { Gate } from '../maintenance/switch.ts'
import { BACKLOG, BEAT_MS, type Answers, type FromWorker, type HandedOver, type Question, type ToWorker, type WorkerData } from '../worker-protocol.ts'
import { closeGracefully } from './close.ts'
import type { Served } from './served.ts'

// Nobody reads more, and thousands may be in flight.
const MOST_LISTED = 20

if (isMainThread) throw new Error('worker.ts runs in a worker thread only')
const { port } = workerData as HandedOver
// What comes while something loads waits in it.
const inbox = on(port, 'message')
const data = await heardFirst()
const gate = new Gate(data.memory, data.slot)

let dueMs = performance.now() + BEAT_MS
setInterval(() => {
  const nowMs = performance.now()
  gate.beat(Math.max(0, nowMs - dueMs))
  dueMs = nowMs + BEAT_MS
}, BEAT_MS)

const { served, closeFailed } = await load()
const answers: { [Q in Question]: () => Promise<Answers[Q]> } = {
  // Too late is too late: an application that is live needs what it would put away, and what was admitted since is
  // nobody's business.
  drained: async () => gate.mode === 'live' ? [] : await served.drained(),
  list: async () => [...served.inFlight].slice(0, MOST_LISTED).map(({ what, startedMs, clientGone }) =>
    ({ what, ageMs: Math.round(performance.now() - startedMs), clientGone })),
  cut: async () => gate.mode === 'live' ? 0 : [...served.inFlight].filter(entry => entry.cut()).length
}
tell({ type: 'ready' })
// Both errors are the end of this thread: with a descriptor that cannot be listened on there is nothing to do.
for await (const [message] of inbox) obey(message as ToWorker)

async function heardFirst (): Promise<WorkerData> {
  const { value: [message] } = await inbox.next() as { value: [ToWorker] }
  if (message.type !== 'start') throw new Error(`expected to be told what to be, and was told ${message.type}`)
  return message.data
}

function obey (message: ToWorker): void {
  switch (message.type) {
    case 'listen':
      gate.adopt()
      served.server.listen({ fd: message.fd, backlog: BACKLOG }, () => {
        tell({ type: 'serving' })
        // Each thread has a cache of its own, and the process may end without a chance to write it.
        flushCompileCache()
      })
      break
    case 'notice':
      served.setNotice(message.notice)
      break
    case 'ask':
      answers[message.question]().then(answer => tell({ type: 'answer', id: message.id, answer }))
      break
    case 'close':
      // What an application leaves behind (timers, connections) must not keep the thread.
      closeGracefully(served, gate, message.graceMs).catch(closeFailed).finally(() => process.exit(0))
  }
}

async function load (): Promise<{ served: Served, closeFailed (error: unknown): void }> {
  if (data.role === 'stand-in') {
    // The page waits for it, so it loads nothing else.
    const { openStandIn } = await import('./stand-in.ts')
    return { served: openStandIn(gate, data.notice), closeFailed () {} }
  }
  const [{ openLog }, { openApplication }] = await Promise.all([import('../log.ts'), import('./application.ts')])
  const { logger, flush } = openLog(data.config.logLevel, process.env, { gathers: true })
  process.on('exit', flush)
  return {
    served: await openApplication(data, logger.child({ worker: data.slot })),
    closeFailed: error => logger.error({ event: 'close-failed', err: error }, 'the application failed to close')
  }
}

function tell (message: FromWorker): void {
  port.postMessage(message)
}
