// One worker thread, from its start to its end. What to do about it is the pool's business.

import { MessageChannel, Worker } from 'node:worker_threads'
import type { Answers, FromWorker, HandedOver, Question, ToWorker, WorkerData } from '../worker-protocol.ts'

export interface ThreadEvents {
  /** It has loaded and wants the socket. */
  ready (): void
  serving (): void
  /** The thread has ended and none of its code runs any more. @param error what ended it, if anything did */
  ended (error: Error | undefined): void
}

export interface WorkerThread {
  tell (message: ToWorker): void
  /** @returns the answer, or undefined where none comes in time */
  ask<Q extends Question> (question: Q, timeoutMs: number): Promise<Answers[Q] | undefined>
  /** Ends the thread wherever it is, in an endless loop too. @param reason what `ended` will be told */
  terminate (reason?: unknown): void
}

const ENTRY = new URL('../serve/worker.ts', import.meta.url)

/** @throws Error where no thread can be made */
export type StartThread = (data: WorkerData, events: ThreadEvents) => WorkerThread

/**
 * Makes a thread before anybody knows what it is to be: it loads while the control plane does.
 * @returns what starts it, and threads as usual after it
 */
export function makeFirstThread (): StartThread {
  let first: StartThread | undefined
  try {
    first = make()
  } catch {} // It is made when it is needed, where its failure counts as a death.
  return (data, events) => {
    const start = first ?? make()
    first = undefined
    return start(data, events)
  }
}

// What is said goes through a channel of its own: what an application posts to its parentPort is none of it.
function make (): StartThread {
  const { port1: port, port2 } = new MessageChannel()
  let worker: Worker
  try {
    worker = new Worker(ENTRY, { workerData: { port: port2 } satisfies HandedOver, transferList: [port2] })
  } catch (error) {
    port.close()
    throw error
  }
  let cause: Error | undefined
  worker.on('error', error => { cause = toError(error) })
  const exit = new Promise<number>(resolve => worker.once('exit', resolve))

  return (data, events) => {
    const awaited = new Map<number, (answer: unknown) => void>()
    let asked = 0
    port.on('message', (message: FromWorker) => {
      if (message.type === 'answer') awaited.get(message.id)?.(message.answer)
      else events[message.type]()
    })
    exit.then(code => {
      port.close()
      for (const giveUp of awaited.values()) giveUp(undefined)
      events.ended(cause ?? (code === 0 ? undefined : new Error(`its thread exited with code ${code}`)))
    })
    const tell = (message: ToWorker): void => port.postMessage(message)
    tell({ type: 'start', data })
    return {
      tell,
      async ask<Q extends Question> (question: Q, timeoutMs: number) {
        const id = ++asked
        const answer = await new Promise(resolve => {
          const timer = setTimeout(resolve, timeoutMs, undefined)
          awaited.set(id, answer => {
            clearTimeout(timer)
            resolve(answer)
          })
          tell({ type: 'ask', id, question })
        })
        awaited.delete(id)
        return answer as Answers[Q] | undefined
      },
      terminate (reason) {
        if (reason !== undefined) cause = toError(reason)
        worker.terminate()
      }
    }
  }
}

/** Whatever was thrown, as an error. */
export function toError (thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(`thrown: ${String(thrown)}`)
}
