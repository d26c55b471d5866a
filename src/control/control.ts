// Control: what the operator can be asked from outside, over the control socket and as metrics. Nothing here decides;
// it turns requests into the operator's intents, and states into words.

import type { Config } from '../config.ts'
import type { Logger } from '../log.ts'
import type { Switch } from '../maintenance/switch.ts'
import { peerOf } from '../platform/libc.ts'
import { openControlSocket, type ControlPorts } from './control-socket.ts'
import { Feed } from './feed.ts'
import { isOverdue } from './holders.ts'
import { createMetrics, serveMetrics } from './metrics.ts'
import type { Entering, Operator } from './operator.ts'
import type { EnterRequest, HolderStatus, Status } from './protocol.ts'
import type { Refusals } from './refusals.ts'
import { StandingSocket } from './standing-socket.ts'
import type { Tally } from './tally.ts'
import type { WorkerPool } from './worker-pool.ts'

export interface ControlOptions {
  config: Config
  operator: Operator
  switch: Switch
  pool: WorkerPool
  admitted: Tally
  refused: Refusals
  logger: Logger
  umask (mask: number): number
}

export interface Control {
  /** Tells those who follow. */
  publish (event: string): void
  /** Observes how long it took until nothing was in flight. */
  drained (tookMs: number): void
  /** Opens the socket where it does not stand. To be called every so often. */
  look (): Promise<void>
  close (): Promise<void>
}

// With PrivateUsers= the kernel shows all users but root and the service's own as this one: user_namespaces(7).
const HIDDEN_UID = 65534

/** Where the socket cannot be opened that is logged, and tried again by `look`. */
export async function openControl (options: ControlOptions): Promise<Control> {
  const { config, operator, pool, refused, logger, umask } = options
  const metrics = createMetrics({ ...options, now: () => new Date() })
  const feed = new Feed(status)
  const ports: ControlPorts = {
    status,
    enter: (request, by) => operator.enter({
      holder: request.holder,
      by,
      ...request.reason !== undefined && { reason: request.reason },
      ...request.message !== undefined && { message: request.message },
      ...endOf(request)
    }),
    leave: ({ holder, force }, by) => operator.leave({ by, force, ...holder !== undefined && { holder } }),
    async cut (by) {
      if (operator.status.mode === 'live') return undefined
      const cut = await pool.cut()
      logger.warn({ event: 'connections-cut', by, cut }, 'connections of what was in flight were closed')
      return cut
    },
    follow: listener => feed.follow(listener),
    metrics: () => metrics.read(),
    caller (fd) {
      const peer = peerOf(fd)
      if (peer === undefined) return 'the control socket'
      return `${peer.uid === HIDDEN_UID ? 'somebody in its group' : `${peer.user}, uid ${peer.uid}`}, pid ${peer.pid}`
    },
    // Requests are logged as the transitions that they bring about.
    logger: logger.child({}, { level: 'warn' })
  }
  const socket = new StandingSocket(config.controlSocket, () => openControlSocket(config.controlSocket, ports, umask), logger)
  await socket.look()
  const closeMetrics = config.metricsAddress === undefined
    ? undefined
    : await serveMetrics(metrics, config.metricsAddress).catch((error: unknown) => {
      logger.error({ event: 'metrics-failed', err: error }, 'metrics are served on the control socket only')
    })

  return {
    publish: event => { feed.publish(event) },
    drained: tookMs => metrics.drained(tookMs),
    look: () => socket.look(),
    async close () {
      feed.close()
      if (closeMetrics !== undefined) closeMetrics()
      await socket.close()
    }
  }

  async function status (): Promise<Status> {
    const { mode, since, by, drained, inFlight, durable, recorded, leaving, holders } = operator.status
    const now = new Date()
    return {
      version: config.version,
      mode,
      since: since.toISOString(),
      by,
      drained,
      inFlight,
      refused: refused.sinceEntering,
      durable,
      recorded,
      leaving,
      holders: holders.map(({ end, since, ...holder }): HolderStatus => ({
        ...holder,
        since: since.toISOString(),
        ...end !== undefined && { until: end.at.toISOString(), then: end.then },
        overdue: isOverdue({ end }, now)
      })),
      workers: pool.workers,
      stragglers: mode === 'live' || inFlight === 0 ? [] : await pool.stragglers()
    }
  }
}

function endOf ({ until, forMs, then }: EnterRequest): Pick<Entering, 'end'> {
  const ending = then === undefined ? {} : { then }
  if (until !== undefined) return { end: { at: new Date(until), countsBy: 'clock', ...ending } }
  if (forMs !== undefined) return { end: { at: new Date(Date.now() + forMs), countsBy: 'duration', ...ending } }
  return {}
}
