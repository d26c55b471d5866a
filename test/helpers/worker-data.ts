// What a worker is started with, and a log that a test can read.

import pino, { type Logger } from 'pino'
import { allocateSwitch } from '../../src/maintenance/switch.ts'
import type { WorkerData } from '../../src/worker-protocol.ts'
import { notice } from './http.ts'

/** Worker 0 of one, with the static site in public/, saying nothing. */
export function workerData (config: Partial<WorkerData['config']> = {}, role: WorkerData['role'] = 'application'): WorkerData {
  return {
    role,
    slot: 0,
    memory: allocateSwitch(1),
    notice,
    config: {
      app: undefined,
      publicDir: new URL('../../public', import.meta.url).pathname,
      logLevel: 'silent',
      trustProxy: [],
      ...config
    }
  }
}

export type Line = Record<string, unknown>

/** A logger whose lines are kept. */
export function readableLog (level = 'info'): { logger: Logger, lines: Line[] } {
  const lines: Line[] = []
  return { logger: pino({ level }, { write: line => { lines.push(JSON.parse(line)) } }), lines }
}
