// Throughput: ours and its peer run side by side, and each round loads one and then the other (A B A B), so that
// whatever else the machine does falls on both.

import { setTimeout as sleep } from 'node:timers/promises'
import { fetchRaw, startLoad } from '../client.ts'
import { processorSeconds, startPeer, whenAnswering, type Running } from '../processes.ts'
import { median, type Row } from '../report.ts'

export interface Pace {
  rounds: number
  roundMs: number
  warmUpMs: number
}

interface Speed {
  perSecond: number
  perProcessorSecond: number
  /** The share of one processor that the server had. */
  busy: number
}

// A server with less of a processor than this was held up by the load generator or by others.
const SATURATED = 0.95

/** Loads both in turn and stops them. @param least what the ratio is to reach; undefined: it is only shown */
export async function compare (name: string, ours: Running, peer: Running, pace: Pace, least?: number): Promise<Row> {
  const pair = [ours, peer] as const
  for (const running of pair) await measure(running, pace.warmUpMs)
  const rounds: Array<readonly [Speed, Speed]> = []
  for (let round = 0; round < pace.rounds; round++) {
    rounds.push([await measure(ours, pace.roundMs), await measure(peer, pace.roundMs)])
  }
  for (const running of pair) await running.stop()

  const ratios = rounds.map(([a, b]) => a.perSecond / b.perSecond)
  const processorRatios = rounds.map(([a, b]) => a.perProcessorSecond / b.perProcessorSecond)
  const busy = median(rounds.flat().map(speed => speed.busy))
  return {
    name,
    ours: { unit: 'req/s', values: rounds.map(([speed]) => speed.perSecond) },
    peer: { unit: 'req/s', values: rounds.map(([, speed]) => speed.perSecond) },
    ratios,
    processorRatios,
    ...least !== undefined && { target: { text: `>= ${least.toFixed(2)}`, isReached: median(ratios) >= least } },
    ...busy < SATURATED && {
      remark: `the servers had ${Math.round(busy * 100)}% of a processor: the machine was busy, trust the ratio by CPU`
    }
  }
}

/** Puts a service into maintenance, and starts bare node:http that gives the same answer, byte for byte. */
export async function startRefusing (service: Running): Promise<[ours: Running, peer: Running]> {
  process.kill(service.pid, 'SIGUSR1')
  await whenAnswering(service, 503)
  const ours = await fetchRaw(service.port)
  const peer = await startPeer('bare', ours)
  const theirs = await fetchRaw(peer.port)
  const withoutDate = (answer: string): string => answer.replace(/^Date: .*$/m, '')
  if (withoutDate(ours) !== withoutDate(theirs)) throw new Error(`the peer answers differently:\n${theirs}\ninstead of\n${ours}`)
  return [service, peer]
}

async function measure (running: Running, durationMs: number): Promise<Speed> {
  const load = await startLoad({ port: running.port })
  const before = { answers: load.answers, processor: processorSeconds(running), time: performance.now() }
  await sleep(durationMs)
  const answers = load.answers - before.answers
  const processor = processorSeconds(running) - before.processor
  const seconds = (performance.now() - before.time) / 1000
  await load.stop()
  return { perSecond: answers / seconds, perProcessorSecond: answers / processor, busy: processor / seconds }
}
