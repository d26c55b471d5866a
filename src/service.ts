// The service: puts the control plane together and connects its parts. What each part does stands in its own file.

import { mkdirSync, openSync } from 'node:fs'
import type { Config } from './config.ts'
import type { Control } from './control/control.ts'
import { announce } from './control/holders.ts'
import { openListener, type Listener } from './control/listener.ts'
import { Operator } from './control/operator.ts'
import { DurableRecord } from './control/record.ts'
import { inDoubt, type RecordState } from './control/record-format.ts'
import { logEvent, statusText, type ServiceEvent } from './control/reporting.ts'
import { runCheck } from './reopening-check.ts'
import type { Intent, Signals } from './control/signals.ts'
import { Tally } from './control/tally.ts'
import { WorkerPool } from './control/worker-pool.ts'
import { ServiceError } from './errors.ts'
import type { Log, Logger } from './log.ts'
import { readPage } from './maintenance/page.ts'
import { allocateSwitch, Switch } from './maintenance/switch.ts'
import { duplicate, lock } from './platform/libc.ts'
import { inheritedFds, type Systemd } from './platform/systemd.ts'

export interface ServiceOptions {
  config: Config
  env: NodeJS.ProcessEnv
  pid: number
  log: Log
  systemd: Systemd
  signals: Signals
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

// Names in systemd's file descriptor store: the listening socket, and the witness that maintenance is on.
const LISTEN = 'listen'
const WITNESS = 'maintenance'
const STATUS_MS = 1_000
const SUMMARY_MS = 60_000
// Beyond the grace: ending the threads, writing the log.
const STOP_MARGIN_MS = 10_000

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
  const listener = await openStoredListener(config, inherited.get(LISTEN), systemd)
  if (listener.remark !== undefined) logger.warn({ event: 'listening' }, listener.remark)

  const theSwitch = new Switch(allocateSwitch(config.workers + 1))
  const admitted = new Tally(theSwitch.workers, worker => theSwitch.admitted(worker))
  const refused = new Tally(theSwitch.workers, worker => theSwitch.refused(worker))
  let refusedBefore = 0
  let refusedSummed = 0
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
    witness: storedWitness(systemd, inherited.has(WITNESS)),
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

  const timers = [setInterval(showStatus, STATUS_MS), setInterval(sumUp, SUMMARY_MS)]
  const serving = pool.start()
  // While the application loads, if it ever does: whoever enters must be heard. Without it signals still work.
  try {
    const { umask } = options
    const { openControl } = await import('./control/control.ts')
    outside.control = await openControl({ config, operator, switch: theSwitch, pool, admitted, refused, refusedSinceEntering, logger, umask })
  } catch (error) {
    logger.error({ event: 'control-failed', err: error }, 'myserverctl will not work; signals do')
  }

  return {
    ready: serving.then(tellReady),
    async close () {
      const graceMs = config.shutdownGraceMs
      systemd.notify({ STOPPING: 1, EXTEND_TIMEOUT_USEC: (graceMs + STOP_MARGIN_MS) * 1000 })
      logger.info({ event: 'stopping', mode: theSwitch.mode, inFlight: theSwitch.inFlight('live') }, 'stopping')
      operator.stop()
      for (const timer of timers) clearInterval(timer)
      await pool.close(graceMs)
      await outside.control?.close()
      sumUp()
      logger.info({ event: 'stopped', mode: theSwitch.mode }, 'stopped')
    }
  }

  function tellReady (): void {
    if (systemd.watchdogPingMs !== undefined) {
      timers.push(setInterval(() => { if (pool.isHealthy()) systemd.notify({ WATCHDOG: 1 }) }, systemd.watchdogPingMs))
    }
    systemd.notify({ READY: 1 })
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
    if (event.event === 'maintenance-entered') refusedBefore = refused.total
    logEvent(logger, event, event.event === 'maintenance-left' ? { refused: refusedSinceEntering() } : {})
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

  function refusedSinceEntering (): number {
    return refused.total - refusedBefore
  }

  function showStatus (): void {
    const text = statusText(operator.status, refusedSinceEntering(), new Date())
    if (text !== shownStatus) systemd.notify({ STATUS: text })
    shownStatus = text
  }

  function sumUp (): void {
    const count = refused.total - refusedSummed
    refusedSummed += count
    if (count > 0) logger.info({ event: 'requests-refused', refused: count, inAll: refusedSinceEntering() }, 'requests refused')
  }
}

// For the life of the process. Of two that shared a record, each would open what the other has closed. Where the folder
// cannot be had there is no record to share.
function lockFolder (path: string): void {
  let folder
  try {
    mkdirSync(path, { recursive: true, mode: 0o750 })
    folder = openSync(path, 'r')
  } catch {
    return
  }
  if (!lock(folder)) {
    throw new ServiceError('ERR_RECORD_LOCKED', `${path} is used by another process; stop it or set another STATE_DIRECTORY`)
  }
}

function readState (record: DurableRecord, hasWitness: boolean, logger: Logger): RecordState {
  const { state, doubt } = record.read()
  if (doubt !== undefined) {
    logger.error({ event: 'record-unreadable', err: doubt },
      'the record cannot be trusted: starting in maintenance; send SIGUSR2 to leave')
  }
  if (state.mode === 'maintenance' || !hasWitness) return state
  logger.error({ event: 'record-unreadable', since: state.since },
    'the record says live, but maintenance was on: starting in maintenance; send SIGUSR2 to leave')
  return inDoubt(new Date())
}

async function openStoredListener (config: Config, inheritedFd: number | undefined, systemd: Systemd): Promise<Listener> {
  const listener = await openListener(config.address, inheritedFd)
  if (!listener.inherited) {
    if (inheritedFd !== undefined) systemd.unstore(LISTEN)
    systemd.store(LISTEN, listener.fd)
  }
  return listener
}

// An open descriptor in systemd's store is there after a crash and a restart even if the disk is full or lost. What
// it refers to does not matter; it is opened in advance, since there may be no descriptor left when it is needed.
function storedWitness (systemd: Systemd, isSet: boolean): { set (): void, clear (): void } {
  if (!systemd.managed) return { set () {}, clear () {} }
  const fd = openSync('/dev/null', 'r')
  return {
    set () {
      isSet ||= systemd.store(WITNESS, fd)
      if (!isSet) throw new Error('systemd was not reached')
    },
    clear () {
      systemd.unstore(WITNESS)
      isSet = false
    }
  }
}
