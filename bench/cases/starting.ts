// Starting: from before the process is made until READY (the log event `serving` comes right after it), and, started
// in maintenance, until somebody who keeps trying has the whole page. And what it takes of memory once it idles.

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { memoryOf, scratch, spawnService, startService, whenAnswering, type Running } from '../processes.ts'
import { median, spread, worst, type Row } from '../report.ts'

const READY_MS = 300
const PAGE_MS = 200
const MEMORY_MB = 100
const cacheDirectory = join(scratch, 'start-cache')

/** @param cold whether the compile cache is empty, as at the first start of a release */
export async function timeReady (name: string, starts: number, cold = false): Promise<Row> {
  const times = await time(starts, cold, async () => {
    const service = await spawnService({ cacheDirectory, stdout: 'pipe', env: { LOG_LEVEL: 'info' } })
    for await (const line of createInterface({ input: service.child.stdout ?? process.stdin })) {
      if (JSON.parse(line).event === 'serving') break
    }
    return service
  })
  return finish(name, times, READY_MS, cold)
}

export async function timePage (name: string, starts: number, cold = false): Promise<Row> {
  const times = await time(starts, cold, async () =>
    await whenAnswering(await spawnService({ cacheDirectory, mode: 'maintenance' }), 503))
  return finish(name, times, PAGE_MS, cold)
}

/** Resident memory with one worker, some time after the start and without a request. */
export async function weigh (name: string, starts: number, settleMs: number): Promise<Row> {
  const rss: number[] = []
  const pss: number[] = []
  // A cold start leaves the memory of the compiler behind.
  await endPolitely(await startService({ cacheDirectory }))
  for (let i = 0; i < starts; i++) {
    const service = await startService({ cacheDirectory })
    await sleep(settleMs)
    const memory = memoryOf(service)
    rss.push(memory.rss / 1e6)
    pss.push(memory.pss / 1e6)
    await service.stop()
  }
  return {
    name,
    ours: { unit: 'MB', values: rss },
    target: { text: `<= ${MEMORY_MB} MB`, isReached: median(rss) <= MEMORY_MB },
    remark: `resident; the proportional set, which shares what other processes map too, is ${spread(pss)} MB`
  }
}

async function time (starts: number, cold: boolean, start: () => Promise<Running>): Promise<number[]> {
  const times: number[] = []
  // The first one of a series fills the cache.
  for (let i = 0; i < starts + 1; i++) {
    if (cold) rmSync(cacheDirectory, { recursive: true, force: true })
    const startedAt = performance.now()
    const service = await start()
    if (i > 0) times.push(performance.now() - startedAt)
    await endPolitely(service)
  }
  return times
}

// Each thread writes its part of the cache after READY or when it ends: a kill could come before that.
async function endPolitely ({ child }: Running): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

function finish (name: string, values: number[], targetMs: number, cold: boolean): Row {
  const row: Row = { name, ours: { unit: 'ms', values } }
  if (cold) return row
  return {
    ...row,
    target: { text: `<= ${targetMs} ms`, isReached: median(values) <= targetMs },
    remark: `the slowest of ${values.length} took ${worst(values).toFixed(0)} ms`
  }
}
