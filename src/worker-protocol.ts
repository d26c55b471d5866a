// What the control plane and a worker thread say to each other, besides the shared memory of the switch.

import type { MessagePort } from 'node:worker_threads'
import type { Config } from './config.ts'
import type { Notice } from './maintenance/responses.ts'
import type { SwitchMemory } from './maintenance/switch.ts'

/** `application` serves the application behind the switch; `stand-in` only ever refuses, and needs no application. */
export type WorkerRole = 'application' | 'stand-in'

/** What a worker thread is to be; the first thing that it is told. */
export interface WorkerData {
  role: WorkerRole
  slot: number
  memory: SwitchMemory
  notice: Notice
  config: Pick<Config, 'app' | 'publicDir' | 'logLevel' | 'trustProxy'>
}

/** Handed to a worker thread when it is made: its end of the channel on which the rest is said. */
export interface HandedOver {
  port: MessagePort
}

export type ToWorker =
  | { type: 'start', data: WorkerData }
  /** Accept connections on a descriptor, which is the worker's own from now on. */
  | { type: 'listen', fd: number }
  | { type: 'notice', notice: Notice }
  /** Wants an answer with the same id. */
  | { type: 'ask', id: number, question: Question }
  /** Stop accepting, finish what is running within the grace, cut off the rest, end the thread. */
  | { type: 'close', graceMs: number }

export type FromWorker =
  /** Loaded, and waiting for the descriptor. */
  | { type: 'ready' }
  | { type: 'serving' }
  | { type: 'answer', id: number, answer: Answers[Question] }

/** What a worker can be asked, and what it answers. */
export interface Answers {
  /** Runs the application's hooks for when nothing is in flight. Their errors. */
  drained: string[]
  /** What is in flight, the oldest first. */
  list: Array<{ what: string, ageMs: number, clientGone: boolean }>
  /** Closes the connections of what is in flight. How many. */
  cut: number
}

export type Question = keyof Answers

/**
 * How many connections may wait to be accepted, while the service restarts for example: as many as the system allows
 * (net.core.somaxconn). Whoever listens on the socket sets it anew: listen(2).
 */
export const BACKLOG = 65_535

/** How often a worker shows that its event loop turns. */
export const BEAT_MS = 500
