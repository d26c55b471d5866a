// The service: puts the control plane together and connects its parts. What each part does stands in its own file.

import { closeSync, openSync } from 'node:fs'
import type { Config } from './config.ts'
import { Operator } from './control/operator.ts'
import { openListener } from './control/listener.ts'
import { DurableRecord } from './control/record.ts'
import { Refusals } from './control/refusals.ts'
import { logEvent, statusText, type ServiceEvent } from './control/reporting.ts'
import type { Intent, Signals } from './control/signals.ts'
import { WorkerPool } from './control/worker-pool.ts'
import type { ServiceError } from './errors.ts'
import type { Log } from './log.ts'
import { readPage } from './maintenance/page.ts'
import { allocateSwitch, Switch } from './maintenance/switch.ts'
import { duplicate } from './platform/libc.ts'
import { inheritedFds, type Systemd } from './platform/systemd.ts'

export interface ServiceOptions {
  config: Config
  env: NodeJS.ProcessEnv
  pid: number
  log: Log
  systemd: Systemd
  signals: Signals
  /** Live, and there is nothing to serve: the process should end. */
  giveUp (error: ServiceError): void
}

export interface Service {
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

/** @returns when requests are served. @throws ServiceError where the service cannot be started */
export async function startService (options: ServiceOptions): Promise<Service> {
  const { config, env, pid, log: { logger }, systemd, signals } = options
  const inherited = inheritedFds(env, pid)
  const record = new DurableRecord(config.stateDirectory, systemd.managed)
  const theSwitch = new Switch(allocateSwitch(config.workers + 1))
  const refusals = new Refusals(theSwitch)
  const readNotice = () => ({ page: readPage(config.maintenancePage), retryAfterSeconds: config.retryAfterSeconds })
  let shownStatus = ''

  const reading = record.read()
  if (reading.doubt !== undefined) {
    logger.error({ event: 'record-unreadable', err: reading.doubt },
      'the record cannot be trusted: starting in maintenance; send SIGUSR2 to leave')
  }
  const { state } = reading
  if (state.mode === 'live' && inherited.has(WITNESS)) {
    logger.error({ event: 'record-unreadable', since: state.since },
      'the record says live, but maintenance was on: starting in maintenance; send SIGUSR2 to leave')
    Object.assign(state, { mode: 'maintenance', since: new Date(), by: 'doubt about the record' })
  }

  const listener = await openListener(config.address, inherited.get(LISTEN))
  if (!listener.inherited) {
    if (inherited.has(LISTEN)) systemd.unstore(LISTEN)
    systemd.store(LISTEN, listener.fd)
  }
  if (listener.remark !== undefined) logger.warn({ event: 'listening' }, listener.remark)

  const pool = new WorkerPool({
    switch: theSwitch,
    size: config.workers,
    duplicateListener: () => duplicate(listener.fd),
    notice: readNotice(),
    config: { app: config.app, publicDir: config.publicDir, logLevel: config.logLevel, trustProxy: config.trustProxy },
    stuckTimeoutMs: config.workerStuckTimeoutMs,
    report,
    giveUp: options.giveUp
  })
  const operator = new Operator({
    switch: {
      get mode () { return theSwitch.mode },
      set mode (mode) {
        theSwitch.mode = mode
        if (mode !== 'live') refusals.restart()
        pool.modeChanged()
      },
      inFlight: mode => theSwitch.inFlight(mode)
    },
    record,
    witness: storedWitness(systemd, inherited.has(WITNESS)),
    application: pool,
    clock: { now: () => new Date(), monotonicMs: () => performance.now() },
    after (delayMs, callback) {
      const timer = setTimeout(callback, delayMs)
      return () => clearTimeout(timer)
    },
    report
  }, state)
  signals.deliver(take)
  operator.resume()

  const status = setInterval(showStatus, STATUS_MS)
  const summary = setInterval(sumUp, SUMMARY_MS)
  await pool.start()
  const watchdog = systemd.watchdogPingMs === undefined
    ? undefined
    : setInterval(() => { if (pool.isHealthy()) systemd.notify({ WATCHDOG: 1 }) }, systemd.watchdogPingMs)
  systemd.notify({ READY: 1 })
  showStatus()
  logger.info({ event: 'serving', url: listener.url, port: listener.port, mode: theSwitch.mode, inherited: listener.inherited },
    'requests are served')

  return {
    async close () {
      const graceMs = config.shutdownGraceMs
      systemd.notify({ STOPPING: 1, EXTEND_TIMEOUT_USEC: (graceMs + STOP_MARGIN_MS) * 1000 })
      logger.info({ event: 'stopping', mode: theSwitch.mode, inFlight: theSwitch.inFlight('live') }, 'stopping')
      operator.stop()
      for (const timer of [status, summary, watchdog]) clearInterval(timer)
      await pool.close(graceMs)
      sumUp()
      logger.info({ event: 'stopped', mode: theSwitch.mode }, 'stopped')
    }
  }

  function take (intent: Intent, signal: NodeJS.Signals): void {
    switch (intent) {
      case 'enter':
        operator.enter(signal)
        break
      case 'leave':
        operator.leave(signal)
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
      pool.setNotice(readNotice())
      logger.info({ event: 'page-reloaded', page: config.maintenancePage }, 'the page was read again')
    } catch (error) {
      logger.error({ event: 'page-kept', err: error }, 'the page cannot be used: the old one stays')
    }
  }

  function report (event: ServiceEvent): void {
    logEvent(logger, event, event.event === 'maintenance-left' ? { refused: refusals.total } : {})
    if (event.event === 'maintenance-left') refusals.takeNew()
    showStatus()
  }

  function showStatus (): void {
    const text = statusText(operator.status, refusals.total)
    if (text !== shownStatus) systemd.notify({ STATUS: text })
    shownStatus = text
  }

  function sumUp (): void {
    const refused = refusals.takeNew()
    if (refused > 0) logger.info({ event: 'requests-refused', refused, inAll: refusals.total }, 'requests refused')
  }
}

// An open descriptor in systemd's store is there after a crash and a restart even if the disk is full or lost. What
// it refers to does not matter.
function storedWitness (systemd: Systemd, isSet: boolean): { set (): void, clear (): void } {
  return {
    set () {
      if (isSet || !systemd.managed) return
      const fd = openSync('/dev/null', 'r')
      systemd.store(WITNESS, fd)
      closeSync(fd)
      isSet = true
    },
    clear () {
      if (isSet) systemd.unstore(WITNESS)
      isSet = false
    }
  }
}
