// One worker thread, from its start to its end. What to do about it is the pool's business.

import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerData } from '../worker-protocol.ts'

export interface ThreadEvents {
  /** It has loaded and wants the socket. */
  ready (): void
  serving (): void
  /** The thread has ended and none of its code runs any more. @param error what ended it, if anything did */
  ended (error: Error | undefined): void
}

export interface WorkerThread {
  tell (message: ToWorker): void
  /** Ends the thread wherever it is, in an endless loop too. @param reason what `ended` will be told */
  terminate (reason?: unknown): void
}

const ENTRY = new URL('../serve/worker.ts', import.meta.url)

export function startThread (data: WorkerData, events: ThreadEvents): WorkerThread {
  const worker = new Worker(ENTRY, { workerData: data, name: `${data.role} ${data.slot}` })
  let cause: Error | undefined
  worker.on('message', (message: FromWorker) => events[message.type]())
  worker.on('error', error => { cause = toError(error) })
  worker.on('exit', code => {
    events.ended(cause ?? (code === 0 ? undefined : new Error(`its thread exited with code ${code}`)))
  })
  return {
    tell: message => worker.postMessage(message),
    terminate (reason) {
      if (reason !== undefined) cause = toError(reason)
      worker.terminate()
    }
  }
}

function toError (thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown: ${String(thrown)}`)
}
