// The environment, turned into a frozen, typed configuration. All problems are found before any is reported.

import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import ms from 'ms'
import { parseCheckTarget, type CheckTarget } from './reopening-check.ts'
import { durationMs } from './duration.ts'
import { ServiceError, messageOf } from './errors.ts'
import { readPage } from './maintenance/page.ts'
import { controlSocketPath, userDirectory, userRuntimeDirectory } from './paths.ts'

/** Where to listen: an address and port, or the path of a Unix socket. */
export type Address = { host: string, port: number, hostIsDefault: boolean } | { path: string }

export interface Config {
  /** The version in package.json. */
  version: string
  address: Address
  workers: number
  /** The path of a Fastify plugin module; undefined: the static site. */
  app: string | undefined
  publicDir: string
  logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  trustProxy: readonly string[]
  shutdownGraceMs: number
  workerStuckTimeoutMs: number
  maintenancePage: string
  retryAfterSeconds: number
  /** Asked before the site opens again. */
  check: CheckTarget | undefined
  metricsAddress: { host: string, port: number } | undefined
  stateDirectory: string
  cacheDirectory: string
  controlSocket: string
}

interface Setting {
  name: string
  /** As --help shows it; undefined: unset. */
  default?: string
  help: string
}

/** Every variable that is read, in the order in which --help lists them. */
export const settings = [
  { name: 'HOST', default: '::', help: 'address to listen on; :: is IPv6 and IPv4' },
  { name: 'PORT', default: '17990', help: 'port to listen on, 0 to 65535 (0: any free one)' },
  { name: 'LISTEN', help: 'absolute path of a Unix socket to listen on, instead of HOST and PORT' },
  { name: 'WORKERS', default: '1', help: 'worker threads: a number, or auto for one per available processor' },
  { name: 'APP', help: 'path of a module whose default export is a Fastify plugin: the application' },
  { name: 'PUBLIC_DIR', default: 'public', help: 'the folder that is served where no APP is set' },
  { name: 'LOG_LEVEL', default: 'info', help: 'fatal, error, warn, info, debug, trace or silent; warn drops the access log' },
  { name: 'TRUST_PROXY', help: 'addresses and CIDRs of proxies whose X-Forwarded headers are believed, with commas' },
  { name: 'SHUTDOWN_GRACE', default: '30s', help: 'how long what is running may take to finish when the service stops' },
  { name: 'WORKER_STUCK_TIMEOUT', default: '30s', help: 'a worker that has not answered for so long is replaced' },
  { name: 'MAINTENANCE_PAGE', default: 'public/maintenance.html', help: 'the HTML page that refused requests get' },
  { name: 'MAINTENANCE_RETRY_AFTER', default: '120s', help: 'the Retry-After header of refused requests' },
  { name: 'MAINTENANCE_CHECK', help: 'asked before leaving: an http(s) URL, tcp://host:port or the path of a Unix socket' },
  { name: 'METRICS_LISTEN', help: 'host:port on which Prometheus metrics are served to whoever asks, besides the control socket' },
  { name: 'STATE_DIRECTORY', help: 'folder of the record; set by systemd, else below $XDG_STATE_HOME' },
  { name: 'CACHE_DIRECTORY', help: 'folder of the compile cache; set by systemd, else below $XDG_CACHE_HOME' },
  { name: 'RUNTIME_DIRECTORY', help: 'folder of the control socket; set by systemd, else below $XDG_RUNTIME_DIR or the state folder' }
] as const satisfies readonly Setting[]

type Name = typeof settings[number]['name']

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
// sun_path holds 108 bytes with the terminating zero: unix(7).
const UNIX_PATH_BYTES = 107
const MOST_WORKERS = 256
const OURS = 'MAINTENANCE_'
const root = resolve(import.meta.dirname, '..')

/**
 * Reads the configuration. An empty variable counts as unset.
 * @throws ServiceError ERR_CONFIG, with one line for each problem
 */
export function readConfig (env: NodeJS.ProcessEnv): Config {
  const problems: string[] = []
  const raw = (name: Name): string | undefined => env[name] === '' ? undefined : env[name]

  /** Parses one setting; a parser throws what would be right. */
  function read<T> (name: Name, parse: (value: string) => T, fallback: T): T {
    const value = raw(name)
    if (value === undefined) return fallback
    try {
      return parse(value)
    } catch (error) {
      problems.push(`${name}=${hidePassword(value)}: ${messageOf(error)}`)
      return fallback
    }
  }

  const config: Config = {
    version: version(),
    address: readAddress(),
    workers: read('WORKERS', parseWorkers, 1),
    app: read<string | undefined>('APP', value => readable(value, 'file'), undefined),
    publicDir: read('PUBLIC_DIR', value => readable(value, 'directory'), join(root, 'public')),
    logLevel: read('LOG_LEVEL', parseLevel, 'info'),
    trustProxy: read('TRUST_PROXY', parseProxies, []),
    shutdownGraceMs: read('SHUTDOWN_GRACE', parseDuration, ms('30s')),
    workerStuckTimeoutMs: read('WORKER_STUCK_TIMEOUT', value => atLeast(parseDuration(value), ms('5s')), ms('30s')),
    maintenancePage: read('MAINTENANCE_PAGE', parsePage, join(root, 'public/maintenance.html')),
    retryAfterSeconds: Math.ceil(read('MAINTENANCE_RETRY_AFTER', parseDuration, ms('120s')) / 1000),
    check: read<CheckTarget | undefined>('MAINTENANCE_CHECK', parseCheckTarget, undefined),
    metricsAddress: read<Config['metricsAddress']>('METRICS_LISTEN', parseHostAndPort, undefined),
    stateDirectory: directory('STATE_DIRECTORY') ?? userDirectory(env, 'XDG_STATE_HOME', '.local/state'),
    cacheDirectory: directory('CACHE_DIRECTORY') ?? userDirectory(env, 'XDG_CACHE_HOME', '.cache'),
    controlSocket: readControlSocket()
  }
  if ('path' in config.address && resolve(config.address.path) === config.controlSocket) {
    problems.push(`LISTEN=${config.address.path}: is the control socket, in RUNTIME_DIRECTORY; set another path`)
  }
  problems.push(...misspelt(env))
  if (problems.length > 0) throw new ServiceError('ERR_CONFIG', problems.join('\n'))
  return Object.freeze(config)

  function readAddress (): Address {
    const path = read<string | undefined>('LISTEN', parseSocketPath, undefined)
    if (raw('LISTEN') === undefined) {
      return {
        host: read('HOST', parseHost, '::'),
        port: read('PORT', parsePort, 17990),
        hostIsDefault: raw('HOST') === undefined
      }
    }
    for (const name of ['HOST', 'PORT'] as const) {
      if (raw(name) !== undefined) problems.push(`${name}=${raw(name)}: set together with LISTEN; set one or the other`)
    }
    return { path: path ?? '' }
  }

  function directory (name: Name): string | undefined {
    return read<string | undefined>(name, parseDirectory, undefined)
  }

  function readControlSocket (): string {
    const path = controlSocketPath(directory('RUNTIME_DIRECTORY') ?? userRuntimeDirectory(env))
    try {
      return parseSocketPath(path)
    } catch (error) {
      problems.push(`RUNTIME_DIRECTORY: the control socket ${path} ${messageOf(error)}`)
      return path
    }
  }
}

/** A text as it may be shown: where it is a URL, or was meant to be one, without its password. */
export function hidePassword (text: string): string {
  const url = URL.parse(text)
  if (url === null) return text.replace(/(\/\/[^/:@]*):.*@/, '$1:***@')
  if (url.password === '') return text
  url.password = '***'
  return url.href
}

// Other variables may be the application's. A check whose name is misspelt would let the site open unchecked.
function misspelt (env: NodeJS.ProcessEnv): string[] {
  const ours = settings.map(({ name }) => name as string).filter(name => name.startsWith(OURS))
  return Object.keys(env).filter(name => name.startsWith(OURS) && !ours.includes(name))
    .map(name => `${name}: unknown; expected one of ${ours.join(', ')}`)
}

/** The version in package.json. */
export function version (): string {
  return (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
}

function parseHost (value: string): string {
  if (value === 'localhost') return '127.0.0.1'
  if (isIP(value) === 0) throw new Error('expected an IPv4 or IPv6 address, such as :: or 127.0.0.1')
  return value
}

function parsePort (value: string): number {
  const port = Number(value)
  if (!/^\d+$/.test(value) || port > 65535) throw new Error('expected a number from 0 to 65535')
  return port
}

function parseHostAndPort (value: string): { host: string, port: number } {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(value) ?? []
  try {
    return { host: parseHost(host.replace(/^\[(.*)\]$/, '$1')), port: parsePort(port) }
  } catch {
    throw new Error('expected an address and a port, such as 127.0.0.1:9464 or [::1]:9464')
  }
}

function parseSocketPath (value: string): string {
  if (!isAbsolute(value)) throw new Error('expected an absolute path, such as /run/myserver/http.sock')
  const bytes = Buffer.byteLength(value)
  if (bytes > UNIX_PATH_BYTES) {
    throw new Error(`is ${bytes} bytes long; a Unix socket's path has at most ${UNIX_PATH_BYTES}`)
  }
  return value
}

function parseWorkers (value: string): number {
  if (value === 'auto') return availableParallelism()
  const workers = Number(value)
  if (!/^\d+$/.test(value) || workers < 1 || workers > MOST_WORKERS) {
    throw new Error(`expected auto or a number from 1 to ${MOST_WORKERS}`)
  }
  return workers
}

function parseLevel (value: string): Config['logLevel'] {
  const level = LEVELS.find(level => level === value)
  if (level === undefined) throw new Error(`expected one of ${LEVELS.join(', ')}`)
  return level
}

function parseProxies (value: string): readonly string[] {
  const proxies = value.split(',').map(proxy => proxy.trim()).filter(proxy => proxy !== '')
  for (const proxy of proxies) {
    const [address = '', prefix, ...more] = proxy.split('/')
    const bits = isIP(address) === 4 ? 32 : 128
    const prefixIsRight = prefix === undefined || (/^\d+$/.test(prefix) && Number(prefix) <= bits)
    if (isIP(address) === 0 || !prefixIsRight || more.length > 0) {
      throw new Error(`"${proxy}" is no address or CIDR; expected for example 127.0.0.1, ::1 or 10.0.0.0/8`)
    }
    if (Number(prefix) === 0) throw new Error(`"${proxy}" would believe everybody; name the proxies' own addresses`)
  }
  return proxies
}

/** @returns milliseconds */
function parseDuration (value: string): number {
  const duration = durationMs(value)
  // Timers take at most 2^31 - 1 milliseconds, nearly 25 days.
  if (duration === undefined || duration > ms('24d')) {
    throw new Error('expected a duration of at most 24 days, such as 90 (seconds), 90s, 30m or 2h')
  }
  return duration
}

function atLeast (duration: number, least: number): number {
  if (duration < least) throw new Error(`expected at least ${ms(least)}`)
  return duration
}

function parseDirectory (value: string): string {
  // systemd separates several directories by colons; the first is the unit's own.
  const [first = ''] = value.split(':')
  if (!isAbsolute(first)) throw new Error('expected an absolute path')
  return first
}

function parsePage (value: string): string {
  const path = resolve(value)
  readPage(path)
  return path
}

function readable (value: string, kind: 'file' | 'directory'): string {
  const path = resolve(value)
  let stats
  try {
    accessSync(path, constants.R_OK)
    stats = statSync(path)
  } catch (error) {
    throw new Error(`cannot be read (${messageOf(error)}); expected the path of a readable ${kind}`)
  }
  if (kind === 'file' ? !stats.isFile() : !stats.isDirectory()) throw new Error(`is no ${kind}`)
  return path
}
