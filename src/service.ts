// The service: puts the control plane together and connects its parts. What each part does stands in its own file.

import type { Config } from './config.ts'
import type { Control } from './control/control.ts'
import { announce } from './control/holders.ts'
import { lockFolder, openStoredListener, readState } from './control/inheritance.ts'
import { LISTEN, Manager, WITNESS, storedWitness } from './control/manager.ts'
import { Operator } from './control/operator.ts'
import { DurableRecord } from './control/record.ts'
import { Refusals } from './control/refusals.ts'
import { logEvent, statusText, type ServiceEvent } from './control/reporting.ts'
import type { Intent, Signals } from './control/signals.ts'
import { Tally } from './control/tally.ts'
import { WorkerPool } from './control/worker-pool.ts'
import type { StartThread } from './control/worker-thread.ts'
import type { ServiceError } from './errors.ts'
import type { Log } from './log.ts'
import { readPage } from './maintenance/page.ts'
import { allocateSwitch, Switch } from './maintenance/switch.ts'
import { duplicate } from './platform/libc.ts'
import { inheritedFds, type Systemd } from './platform/systemd.ts'
import { runCheck } from './reopening-check.ts'
import { KILL_AFTER_MS } from './stopping.ts'
import { within } from './within.ts'

export interface ServiceOptions {
  config: Config
  env: NodeJS.ProcessEnv
  pid: number
  log: Log
  systemd: Systemd
  signals: Signals
  startThread: StartThread
  /** Sets the process's umask. @returns the one before */
  umask (mask: number): number
  /** Live, and there is nothing to serve: the process should end. */
  giveUp (error: ServiceError): void
}

export interface Service {
  /** Resolves when requests are served. */
  ready: Promise<void>
  /** Finishes what is running, within the configured grace. */
  close (): Promise<void>
}

const LOOK_MS = 1_000
const SUMMARY_MS = 60_000
// Where not even the page can be served, the control socket is needed all the more.
const PAGE_FIRST_MS = 1_000

const CHANGES_NOTICE: ReadonlySet<string> = new Set<ServiceEvent['event']>([
  'maintenance-entered', 'maintenance-joined', 'maintenance-updated', 'maintenance-released', 'maintenance-left', 'clock-set'
])

/**
 * @returns when the operator can be asked; see `ready`
 * @throws ServiceError where the service cannot be started
 */
export async function startService (options: ServiceOptions): Promise<Service> {
  const { config, env, pid, log: { logger }, systemd, signals } = options
  const inherited = inheritedFds(env, pid)
  lockFolder(config.stateDirectory)
  const record = new DurableRecord(config.stateDirectory, systemd.managed)
  const state = readState(record, inherited.has(WITNESS), logger)
  const manager = new Manager(systemd)
  const listener = await openStoredListener(config, inherited.get(LISTEN), manager)
  if (listener.remark !== undefined) logger.warn({ event: 'listening' }, listener.remark)

  const theSwitch = new Switch(allocateSwitch(config.workers + 1))
  const admitted = new Tally(theSwitch.workers, worker => theSwitch.admitted(worker))
  const refused = new Refusals(new Tally(theSwitch.workers, worker => theSwitch.refused(worker)), logger)
  let page = readPage(config.maintenancePage)
  let shownStatus = ''
  const outside: { control?: Control } = {}

  const pool = new WorkerPool({
    switch: theSwitch,
    size: config.workers,
    duplicateListener: () => duplicate(listener.fd),
    notice: { page, retryAfterSeconds: config.retryAfterSeconds },
    config: { app: config.app, publicDir: config.publicDir, logLevel: config.logLevel, trustProxy: config.trustProxy },
    stuckTimeoutMs: config.workerStuckTimeoutMs,
    startThread: options.startThread,
    report,
    giveUp: options.giveUp
  })
  const { check } = config
  const operator = new Operator({
    switch: {
      get mode () { return theSwitch.mode },
      set mode (mode) {
        theSwitch.mode = mode
        pool.modeChanged()
      },
      inFlight: mode => theSwitch.inFlight(mode)
    },
    record,
    witness: storedWitness(manager, systemd.managed, inherited.has(WITNESS)),
    application: pool,
    check: check && (signal => runCheck(check, signal)),
    clock: { now: () => new Date(), monotonicMs: () => performance.now() },
    after (delayMs, callback) {
      const timer = setTimeout(callback, delayMs)
      return () => clearTimeout(timer)
    },
    report
  }, state)
  signals.deliver(take)
  operator.resume()
  tellNotice()

  const timers = [setInterval(look, LOOK_MS), setInterval(() => refused.sumUp(), SUMMARY_MS)]
  const serving = pool.start()
  // In maintenance the page comes first: what is loaded now takes the main thread, which hands out the socket, a while.
  if (state.mode === 'maintenance') await within(PAGE_FIRST_MS, serving)
  // While the application loads, if it ever does: whoever enters must be heard. Without it signals still work.
  try {
    const { umask } = options
    const { openControl } = await import('./control/control.ts')
    outside.control = await openControl({ config, operator, switch: theSwitch, pool, admitted, refused, logger, umask })
  } catch (error) {
    logger.error({ event: 'control-failed', err: error }, 'myserverctl will not work; signals do')
  }

  return {
    ready: serving.then(tellReady),
    async close () {
      const graceMs = config.shutdownGraceMs
      manager.tell({ STOPPING: 1, EXTEND_TIMEOUT_USEC: (graceMs + KILL_AFTER_MS) * 1000 })
      logger.info({ event: 'stopping', mode: theSwitch.mode, inFlight: theSwitch.inFlight('live') }, 'stopping')
      operator.stop()
      await pool.close(graceMs)
      for (const timer of timers) clearInterval(timer)
      await outside.control?.close()
      refused.sumUp()
      logger.info({ event: 'stopped', mode: theSwitch.mode }, 'stopped')
    }
  }

  function tellReady (): void {
    if (systemd.watchdogPingMs !== undefined) {
      timers.push(setInterval(() => { if (pool.isHealthy()) manager.tell({ WATCHDOG: 1 }) }, systemd.watchdogPingMs))
    }
    manager.tell({ READY: 1 })
    showStatus()
    logger.info({
      event: 'serving', url: listener.url, port: listener.port, mode: theSwitch.mode, inherited: listener.inherited
    }, 'requests are served')
  }

  function take (intent: Intent, signal: NodeJS.Signals): void {
    switch (intent) {
      case 'enter':
        operator.enter({ by: signal })
        break
      case 'leave':
        operator.leave({ by: signal })
        break
      case 'leave-in-doubt':
        logger.warn({ event: 'leave-refused', by: signal },
          'SIGUSR1 and SIGUSR2 came together and their order cannot be known: maintenance stays on; send SIGUSR2 again to leave')
        break
      case 'reload':
        reload()
    }
  }

  function reload (): void {
    try {
      page = readPage(config.maintenancePage)
      tellNotice()
      logger.info({ event: 'page-reloaded', page: config.maintenancePage }, 'the page was read again')
    } catch (error) {
      logger.error({ event: 'page-kept', page: config.maintenancePage, err: error }, 'the page cannot be used: the old one stays')
    }
  }

  function tellNotice (): void {
    const { message, endsAt } = announce(operator.status.holders, new Date())
    pool.setNotice({
      page,
      retryAfterSeconds: config.retryAfterSeconds,
      ...message !== undefined && { message },
      ...endsAt !== undefined && { endsAtMs: endsAt.getTime() }
    })
  }

  function report (event: ServiceEvent): void {
    if (event.event === 'maintenance-entered') refused.entered()
    logEvent(logger, event, event.event === 'maintenance-left' ? { refused: refused.sinceEntering } : {})
    if (event.event === 'maintenance-drained') outside.control?.drained(event.tookMs)
    if (event.event === 'worker-serving' && event.role === 'application' && theSwitch.mode !== 'live') putAway(event.worker)
    if (CHANGES_NOTICE.has(event.event)) tellNotice()
    showStatus()
    outside.control?.publish(event.event)
  }

  // An application that is started during maintenance opens what those before it have put away.
  async function putAway (worker: number): Promise<void> {
    for (const reason of await pool.putAway(worker)) report({ event: 'drained-hook-failed', reason })
  }

  /** What nobody tells of: that time passes, that the manager listens again, that a file is gone. */
  function look (): void {
    showStatus()
    manager.retry()
    outside.control?.look()
  }

  function showStatus (): void {
    const text = statusText(operator.status, refused.sinceEntering, new Date())
    if (text !== shownStatus) manager.tell({ STATUS: text })
    shownStatus = text
  }
}
