// From the signal to the first refusal: 32 busy keep-alive connections, and the time from just before kill(2) to the
// first 503 on any of them. Both are taken in this process, and nothing is subtracted.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DurableRecord } from '../../src/control/record.ts'
import { startLoad } from '../client.ts'
import { startService, type Running } from '../processes.ts'
import { median, quantile, spread, worst, type Row } from '../report.ts'

export interface SwitchingOptions {
  name: string
  switches: number
  /** The record is written and synced below it before the switch is set. */
  directory: string
  env?: Record<string, string>
  /** Whether a worker is to be blocked at each switch: asks the application for /block. */
  blocking?: boolean
}

const MEDIAN_MS = 1
const WORST_MS = 5
// Between two switches everything runs as usual for a while, of varying length so that no timer beats in time with it.
const REST_MS = 20
const REST_VARIES_MS = 17
const LIMIT_MS = 10_000

export async function timeSwitches (options: SwitchingOptions): Promise<Row> {
  const { name, switches, env = {}, blocking = false } = options
  const directory = mkdtempSync(join(options.directory, 'myserver-bench-state-'))
  try {
    const service = await startService({ stateDirectory: directory, env })
    const times = await switchBackAndForth(service, switches, blocking)
    await service.stop()
    const writes = await timeWrites(join(directory, 'alone'), switches)
    const share = Math.round(100 * median(writes) / median(times))
    return {
      name,
      ours: { unit: 'ms', values: times },
      target: {
        text: `median <= ${MEDIAN_MS} ms, worst <= ${WORST_MS} ms`,
        isReached: median(times) <= MEDIAN_MS && worst(times) <= WORST_MS
      },
      remark: `half within ${ms(median(times))}, 95% within ${ms(quantile(times, 0.95))}, all within ${ms(worst(times))}; ` +
        `writing the record alone takes ${spread(writes)} ms here, about ${share}% of the median`
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

async function switchBackAndForth (service: Running, switches: number, blocking: boolean): Promise<number[]> {
  let awaited = 0
  let seen = Promise.withResolvers<bigint>()
  const load = await startLoad({
    port: service.port,
    onAnswer (status) {
      if (status === awaited) seen.resolve(process.hrtime.bigint())
    }
  })
  const firstAnswer = async (status: number, signal: NodeJS.Signals): Promise<number> => {
    awaited = status
    const { promise, reject } = seen = Promise.withResolvers()
    const tooLate = setTimeout(() => reject(new Error(`no ${status} in ${LIMIT_MS} ms after ${signal}`)), LIMIT_MS)
    const sentAt = process.hrtime.bigint()
    process.kill(service.pid, signal)
    const seenAt = await promise
    clearTimeout(tooLate)
    return Number(seenAt - sentAt) / 1e6
  }

  const times: number[] = []
  for (let i = 0; i < switches; i++) {
    await sleep(REST_MS + i % REST_VARIES_MS)
    const blocked = blocking ? await blockOneWorker(service.port) : undefined
    times.push(await firstAnswer(503, 'SIGUSR1'))
    await blocked?.over
    // Right behind a SIGUSR1 it would be taken for one whose order cannot be known.
    await sleep(REST_MS)
    await firstAnswer(200, 'SIGUSR2')
  }
  await load.stop()
  return times
}

/** @returns once a worker is blocked */
async function blockOneWorker (port: number): Promise<{ over: Promise<unknown> }> {
  const socket = connect(port, '127.0.0.1', () => socket.write('GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  const over = once(socket, 'close')
  await once(socket, 'data')
  return { over }
}

/** What the record costs by itself, on the same disk, at the same pace, with nobody else in the process. */
async function timeWrites (directory: string, count: number): Promise<number[]> {
  const record = new DurableRecord(directory, false)
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    await sleep(REST_MS)
    const startedAt = performance.now()
    record.write({ mode: 'live', since: new Date(), by: 'bench', holders: [] })
    times.push(performance.now() - startedAt)
  }
  return times
}

function ms (value: number): string {
  return `${value.toFixed(2)} ms`
}
