// Figures for Prometheus, read from where they are when somebody asks.

import { createServer } from 'node:http'
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import { ServiceError, messageOf } from '../errors.ts'
import type { Switch } from '../maintenance/switch.ts'
import type { OperatorStatus } from './operator.ts'
import { paths, type WorkerStatus } from './protocol.ts'

export interface MetricsSources {
  operator: { readonly status: OperatorStatus }
  switch: Switch
  pool: { readonly workers: readonly WorkerStatus[], readonly replacements: number }
  admitted: { readonly total: number }
  refused: { readonly total: number }
  now (): Date
}

export interface Metrics {
  /** Observes how long it took until nothing was in flight. */
  drained (tookMs: number): void
  read (): Promise<{ type: string, text: string }>
}

// From instant to the longest request that people wait for.
const DRAIN_BUCKETS_SECONDS = [0.01, 0.1, 1, 5, 15, 60, 300, 1800]

export function createMetrics ({ operator, switch: theSwitch, pool, admitted, refused, now }: MetricsSources): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  // Sums of their namesakes without the suffix, which belongs to counters: promtool objects to them.
  for (const name of ['handles', 'requests', 'resources']) registry.removeSingleMetric(`nodejs_active_${name}_total`)
  gauge('myserver_maintenance', 'Whether maintenance is on: 1 or 0', () => operator.status.mode === 'live' ? 0 : 1)
  gauge('myserver_mode_seconds', 'Seconds since the mode was entered',
    () => (now().getTime() - operator.status.since.getTime()) / 1000)
  gauge('myserver_drained', 'Whether maintenance is on and nothing is in flight: 1 or 0', () => operator.status.drained ? 1 : 0)
  gauge('myserver_holders', 'How many hold maintenance', () => operator.status.holders.length)
  gauge('myserver_in_flight', 'Requests and other work in flight', () => theSwitch.inFlight('live'))
  counter('myserver_requests_admitted_total', 'Requests admitted', () => admitted.total)
  counter('myserver_requests_refused_total', 'Requests refused', () => refused.total)
  counter('myserver_worker_replacements_total', 'Workers that died or hung and were replaced', () => pool.replacements)
  const lag = new Gauge({
    name: 'myserver_worker_event_loop_lag_seconds',
    help: 'How late a worker was to show that its event loop turns',
    labelNames: ['worker'],
    registers: [registry],
    collect () {
      lag.reset()
      // A worker that hangs cannot say how late it is.
      for (const { worker, silentMs } of pool.workers) {
        lag.set({ worker }, Math.max(theSwitch.lagMs(worker), silentMs - BEAT_SLACK_MS) / 1000)
      }
    }
  })
  const drain = new Histogram({
    name: 'myserver_drain_duration_seconds',
    help: 'From entering maintenance until nothing was in flight',
    buckets: DRAIN_BUCKETS_SECONDS,
    registers: [registry]
  })
  return {
    drained: tookMs => drain.observe(tookMs / 1000),
    read: async () => ({ type: registry.contentType, text: await registry.metrics() })
  }

  function gauge (name: string, help: string, read: () => number): void {
    const metric: Gauge = new Gauge({ name, help, registers: [registry], collect: () => metric.set(read()) })
  }

  function counter (name: string, help: string, read: () => number): void {
    const metric: Counter = new Counter({
      name,
      help,
      registers: [registry],
      collect () {
        metric.reset()
        metric.inc(read())
      }
    })
  }
}

// A beat is due every half second, and felt as late.
const BEAT_SLACK_MS = 1_000

/**
 * Serves the metrics, and nothing else, to whoever asks.
 * @returns closes it
 * @throws ServiceError ERR_LISTEN
 */
export async function serveMetrics (metrics: Metrics, { host, port }: { host: string, port: number }): Promise<() => void> {
  const server = createServer((request, response) => {
    if (request.url !== paths.metrics || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end()
      return
    }
    metrics.read().then(
      ({ type, text }) => { response.writeHead(200, { 'Content-Type': type }).end(text) },
      () => { response.writeHead(500).end() })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(
      new ServiceError('ERR_LISTEN', `METRICS_LISTEN: cannot listen on ${host}:${port}: ${messageOf(error)}`, error)))
    server.listen({ host, port }, resolve)
  })
  return () => {
    server.close()
    server.closeAllConnections()
  }
}
