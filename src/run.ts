// Runs the service in a process: what it needs of the process before it starts, and how the process ends.

import { mkdirSync } from 'node:fs'
import { enableCompileCache, flushCompileCache } from 'node:module'
import { join } from 'node:path'
import closeWithGrace from 'close-with-grace'
import type { Config } from './config.ts'
import type { Signals } from './control/signals.ts'
import { EX_CONFIG, ServiceError, messageOf } from './errors.ts'
import type { Service } from './service.ts'
import { END_AFTER_MS } from './stopping.ts'

// Those that ask to stop are taken. The others have a meaning of their own here, or report a fault after which a
// process must not go on.
const OTHER_SIGNALS = ['SIGHUP', 'SIGUSR2', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV'] as const

/** @returns when requests are served; throws what {@link endWith} takes */
export async function run (config: Config, signals: Signals, target: NodeJS.Process): Promise<void> {
  useCompileCache(config.cacheDirectory, target.env)
  const { makeFirstThread } = await import('./control/worker-thread.ts')
  const startThread = makeFirstThread()
  const [{ openLog }, { connectSystemd }, { unblockSignal }, { startService }] = await Promise.all([
    import('./log.ts'), import('./platform/systemd.ts'), import('./platform/libc.ts'), import('./service.ts')
  ])
  const systemd = connectSystemd(target.env, target.pid)
  const log = openLog(config.logLevel, target.env, {
    journal: (line, priority, fields) =>
      systemd.journal({ MESSAGE: line, PRIORITY: priority, SYSLOG_IDENTIFIER: 'myserver', ...fields })
  })
  // Makes a pipe that nobody reads answer EAGAIN instead of holding up whoever writes: Node does so when it opens it.
  target.stdout.on('error', () => {})
  // Before pino's own attempt, which would wait for a stalled reader without end.
  target.prependListener('exit', log.flush)
  log.logger.info({ event: 'starting', version: config.version, node: target.version }, 'starting')

  const running: { service?: Service, failure?: unknown } = {}
  const closer = closeWithGrace({
    delay: config.shutdownGraceMs + END_AFTER_MS,
    skip: [...OTHER_SIGNALS],
    logger: false,
    onSecondSignal: signal => { log.logger.warn({ event: 'stopped', signal }, 'second signal: ending at once') },
    onSecondError: error => { log.logger.fatal({ event: 'failed', err: error }, 'failed while stopping') },
    onTimeout: () => { log.logger.error({ event: 'stopped' }, 'stopping took too long: ending at once') }
  }, async ({ err }) => {
    if (err !== undefined) log.logger.fatal({ event: 'failed', err }, 'an error that nobody caught: stopping')
    await running.service?.close()
    if (running.failure !== undefined) target.exit(1)
  })

  letThrough(unblockSignal, target.execArgv)
  const service = running.service = await startService({
    config,
    env: target.env,
    pid: target.pid,
    log,
    systemd,
    signals,
    startThread,
    umask: mask => target.umask(mask),
    giveUp (error) {
      log.logger.fatal({ event: 'failed', err: error }, 'giving up')
      running.failure = error
      closer.close()
    }
  })
  await service.ready
  // After READY, and not when the process ends: it may be killed.
  flushCompileCache()
}

/** Says why the service cannot start, and ends the process. */
export function endWith (error: unknown, target: NodeJS.Process): never {
  const isConfig = error instanceof ServiceError && (error.code === 'ERR_CONFIG' || error.code === 'ERR_PAGE')
  // The journal takes the priority of a line from its beginning: sd-daemon(3).
  const priority = target.env.JOURNAL_STREAM === undefined ? '' : '<2>'
  const text = error instanceof ServiceError ? error.message : error instanceof Error ? error.stack : String(error)
  for (const line of (text ?? messageOf(error)).split('\n')) target.stderr.write(`${priority}myserver: ${line}\n`)
  return target.exit(isConfig ? EX_CONFIG : 1)
}

// Worker threads find the cache through the environment. Starting without it is only slower.
function useCompileCache (cacheDirectory: string, env: NodeJS.ProcessEnv): void {
  const directory = join(cacheDirectory, 'compile')
  try {
    mkdirSync(directory, { recursive: true })
  } catch {
    return
  }
  enableCompileCache(directory)
  env.NODE_COMPILE_CACHE = directory
}

function letThrough (unblock: (signal: 'SIGUSR1') => void, execArgv: readonly string[]): void {
  try {
    unblock('SIGUSR1')
  } catch (error) {
    // Without the option the signal was never blocked.
    if (!execArgv.includes('--disable-sigusr1')) return
    throw new ServiceError('ERR_NO_SIGNALS', `SIGUSR1 cannot be unblocked (${messageOf(error)}); ` +
      'start node without --disable-sigusr1 on this platform', error)
  }
}
