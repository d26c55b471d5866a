import { availableParallelism } from 'node:os'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { readConfig, settings } from '../src/config.ts'
import { ServiceError } from '../src/errors.ts'
import { newFolder, root, type Scope } from './helpers/places.ts'
import { ServiceProcess } from './helpers/service.ts'

const MINUTE = 60_000

/** The lines of what is wrong. */
function problemsOf (env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'ERR_CONFIG') return error.message.split('\n')
    throw error
  }
  return []
}

function files (t: Scope): { folder: string, empty: string, app: string, page: string } {
  const folder = newFolder(t)
  const [empty, app, page] = ['empty.html', 'app.js', 'page.html'].map(name => join(folder, name)) as [string, string, string]
  writeFileSync(empty, '')
  writeFileSync(app, 'export default async () => {}')
  writeFileSync(page, '<p>Back soon')
  return { folder, empty, app, page }
}

t.test('without any variable everything has its default', async t => {
  t.match(readConfig({ HOME: '/home/somebody' }), {
    address: { host: '::', port: 17990, hostIsDefault: true },
    workers: 1,
    app: undefined,
    publicDir: join(root, 'public'),
    logLevel: 'info',
    trustProxy: [],
    shutdownGraceMs: 30_000,
    workerStuckTimeoutMs: 30_000,
    maintenancePage: join(root, 'public/maintenance.html'),
    retryAfterSeconds: 120,
    stateDirectory: '/home/somebody/.local/state/myserver',
    cacheDirectory: '/home/somebody/.cache/myserver'
  })
})

t.test('a setting whose name is misspelt is no setting, and said to be', async t => {
  t.match(problemsOf({ MAINTENANCE_CHEK: 'tcp://127.0.0.1:5432', DATABASE_URL: 'of the application' }),
    [/^MAINTENANCE_CHEK: unknown; expected one of MAINTENANCE_PAGE, MAINTENANCE_RETRY_AFTER, MAINTENANCE_CHECK$/])
})

t.test('the defaults that --help shows are those that are used', async t => {
  const shown = Object.fromEntries(settings.flatMap(setting => 'default' in setting ? [[setting.name, setting.default]] : []))
  const HOME = '/home/somebody'
  const { PUBLIC_DIR = '', MAINTENANCE_PAGE = '', ...others } = shown
  const { address, ...config } = readConfig({
    HOME, ...others, PUBLIC_DIR: join(root, PUBLIC_DIR), MAINTENANCE_PAGE: join(root, MAINTENANCE_PAGE)
  })
  const { address: defaultAddress, ...defaults } = readConfig({ HOME })
  t.same(config, defaults)
  t.match(address, { ...defaultAddress, hostIsDefault: false })
})

t.test('an empty variable counts as unset', async t => {
  const empty = Object.fromEntries(settings.map(({ name }) => [name, '']))
  t.same(readConfig({ HOME: '/home/somebody', ...empty }), readConfig({ HOME: '/home/somebody' }))
})

t.test('the configuration cannot be changed', async t => {
  t.ok(Object.isFrozen(readConfig({})))
})

t.test('an unknown variable is none of its business', async t => {
  t.same(problemsOf({ PATH: '/bin', SOMETHING: 'else' }), [])
})

t.test('all that can be set is taken', async t => {
  const { folder, app, page } = files(t)
  t.match(readConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    WORKERS: '4',
    APP: app,
    PUBLIC_DIR: folder,
    LOG_LEVEL: 'debug',
    TRUST_PROXY: '127.0.0.1, 10.0.0.0/8,::1,fd00::/8',
    SHUTDOWN_GRACE: '0',
    WORKER_STUCK_TIMEOUT: '5s',
    MAINTENANCE_PAGE: page,
    MAINTENANCE_RETRY_AFTER: '1m',
    STATE_DIRECTORY: '/var/lib/myserver',
    CACHE_DIRECTORY: '/var/cache/myserver'
  }), {
    address: { host: '127.0.0.1', port: 0, hostIsDefault: false },
    workers: 4,
    app,
    publicDir: folder,
    logLevel: 'debug',
    trustProxy: ['127.0.0.1', '10.0.0.0/8', '::1', 'fd00::/8'],
    shutdownGraceMs: 0,
    workerStuckTimeoutMs: 5000,
    maintenancePage: page,
    retryAfterSeconds: 60,
    stateDirectory: '/var/lib/myserver',
    cacheDirectory: '/var/cache/myserver'
  })
})

t.test('localhost is an address', async t => {
  t.match(readConfig({ HOST: 'localhost' }), { address: { host: '127.0.0.1' } })
})

t.test('LISTEN takes the place of HOST and PORT', async t => {
  t.same(readConfig({ LISTEN: '/run/myserver/http.sock' }).address, { path: '/run/myserver/http.sock' })
})

t.test('LISTEN together with HOST or PORT is a problem for each of them', async t => {
  const problems = problemsOf({ LISTEN: '/run/http.sock', PORT: '80', HOST: '::1' })
  t.equal(problems.length, 2)
  t.match(problems.join('\n'), /HOST=::1: set together with LISTEN/)
  t.match(problems.join('\n'), /PORT=80: set together with LISTEN/)
})

for (const LISTEN of ['/run/myserver/control.sock', '/run//myserver/../myserver/control.sock']) {
  t.test(`LISTEN=${LISTEN} is no place for the site: the control socket is there`, async t => {
    t.match(problemsOf({ LISTEN, RUNTIME_DIRECTORY: '/run/myserver' }), [/^LISTEN=.*control\.sock: is the control socket, in RUNTIME_DIRECTORY; set another path$/])
  })
}

t.test('WORKERS=auto is one for each processor', async t => {
  t.equal(readConfig({ WORKERS: 'auto' }).workers, availableParallelism())
})

t.test('of several state directories the first is taken, as systemd means it', async t => {
  t.equal(readConfig({ STATE_DIRECTORY: '/var/lib/myserver:/var/lib/other' }).stateDirectory, '/var/lib/myserver')
})

t.test('without a state directory the place is where the user keeps state', async t => {
  t.equal(readConfig({ HOME: '/h', XDG_STATE_HOME: '/x' }).stateDirectory, '/x/myserver')
  t.equal(readConfig({ HOME: '/h' }).stateDirectory, '/h/.local/state/myserver')
})

const durations: ReadonlyArray<[string, number]> = [
  ['0', 0], ['90', 90_000], ['90s', 90_000], ['30m', 30 * MINUTE], ['2h', 120 * MINUTE], ['500ms', 500], ['1d', 1440 * MINUTE],
  ['1.5h', 90 * MINUTE]
]

for (const [text, expected] of durations) {
  t.test(`${text} is a duration of ${expected} milliseconds`, async t => {
    t.equal(readConfig({ SHUTDOWN_GRACE: text }).shutdownGraceMs, expected)
  })
}

t.test('any whole number is seconds', async t => {
  t.doesNotThrow(() => fc.assert(fc.property(fc.nat({ max: 2_000_000 }), seconds => {
    return readConfig({ SHUTDOWN_GRACE: String(seconds) }).shutdownGraceMs === seconds * 1000
  })))
})

t.test('Retry-After is whole seconds, and never less than what was asked for', async t => {
  t.equal(readConfig({ MAINTENANCE_RETRY_AFTER: '1500ms' }).retryAfterSeconds, 2)
})

const wrong: Readonly<Record<string, ReadonlyArray<[string, RegExp]>>> = {
  HOST: [['example.com', /IPv4 or IPv6 address/], ['1.2.3', /such as/], ['127.0.0.1:80', /such as/]],
  PORT: [['65536', /0 to 65535/], ['-1', /0 to 65535/], ['80a', /0 to 65535/], [' 80', /0 to 65535/], ['1e3', /0 to 65535/], ['0x50', /0 to 65535/]],
  LISTEN: [['http.sock', /absolute path/], [`/${'a'.repeat(107)}`, /108 bytes.*at most 107/]],
  WORKERS: [['0', /auto or a number from 1/], ['1.5', /auto/], ['many', /auto/], ['257', /256/]],
  APP: [['/does/not/exist.js', /cannot be read.*ENOENT/], ['/tmp', /no file/]],
  PUBLIC_DIR: [['/does/not/exist', /cannot be read/], ['/etc/passwd', /no directory/]],
  LOG_LEVEL: [['verbose', /fatal, error, warn, info, debug, trace, silent/], ['INFO', /one of/]],
  TRUST_PROXY: [
    ['true', /"true".*10\.0\.0\.0\/8/], ['10.0.0.0/33', /"10\.0\.0\.0\/33"/], ['127.0.0.1,proxy.example', /"proxy\.example"/],
    ['0.0.0.0/0', /believe everybody/], ['::/0', /believe everybody/], ['0.0.0.0/00', /0\.0\.0\.0\/00/], ['10.0.0.0/8/8', /no address/],
    ['10.0.0.0/', /no address/]
  ],
  SHUTDOWN_GRACE: [['soon', /such as 90/], ['-5s', /such as 90/], ['5x', /such as 90/], ['30d', /24 days/], ['1e3', /such as 90/]],
  WORKER_STUCK_TIMEOUT: [['1s', /at least 5s/], ['4999ms', /at least 5s/], ['x', /such as 90/]],
  MAINTENANCE_PAGE: [['/does/not/exist.html', /cannot be read/], ['/tmp', /cannot be read/]],
  MAINTENANCE_RETRY_AFTER: [['later', /such as 90/]],
  STATE_DIRECTORY: [['state', /absolute path/]],
  CACHE_DIRECTORY: [['./cache', /absolute path/]]
}

for (const [name, cases] of Object.entries(wrong)) {
  for (const [value, reason] of cases) {
    t.test(`${name}=${value.slice(0, 40)} is told with its name, its value and what would be right`, async t => {
      const problems = problemsOf({ HOME: '/h', [name]: value })
      t.equal(problems.length, 1)
      t.ok(problems[0]?.startsWith(`${name}=${value}: `), problems[0] ?? 'no problem')
      t.match(problems[0], reason)
    })
  }
}

t.test('a duration of a thousand characters is told like any other that is wrong', async t => {
  t.match(problemsOf({ SHUTDOWN_GRACE: '9'.repeat(1000) }), [/such as 90/])
})

t.test('a page that is empty or a megabyte long is told', async t => {
  const { folder, empty } = files(t)
  t.match(problemsOf({ MAINTENANCE_PAGE: empty }), [/is empty/])
  const large = join(folder, 'large.html')
  writeFileSync(large, Buffer.alloc(1024 * 1024 + 1))
  t.match(problemsOf({ MAINTENANCE_PAGE: large }), [/1048577 bytes/])
})

t.test('all problems are told at once', async t => {
  const env = Object.fromEntries(Object.entries(wrong).filter(([name]) => name !== 'LISTEN').map(([name, [first]]) => [name, first?.[0]]))
  t.same(problemsOf(env).map(line => line.split('=')[0]).toSorted(), Object.keys(env).toSorted())
})

t.test('every setting is tried above', async t => {
  const elsewhere = ['MAINTENANCE_CHECK', 'METRICS_LISTEN', 'RUNTIME_DIRECTORY']
  t.same([...Object.keys(wrong), ...elsewhere].toSorted(), settings.map(({ name }) => name).toSorted())
})

t.test('every variable that the sources read is a setting, or one of the system', async t => {
  const text = readFileSync(join(root, 'src/config.ts'), 'utf8')
  const names = new Set([...text.matchAll(/(?:read(?:<[^(]*>)?|directory)\('([A-Z_]+)'/g)].map(([, name]) => name))
  t.same([...names].toSorted(), settings.map(({ name }) => name).toSorted())
})

t.test('the process ends with 78 and all problems on standard error, and touches nothing', async t => {
  const service = new ServiceProcess(t, { env: { PORT: '99999', WORKERS: 'many', LOG_LEVEL: 'loud' } })
  t.same(await service.ended, { code: 78, signal: null })
  const lines = service.stderr.trimEnd().split('\n')
  t.equal(lines.length, 3)
  for (const name of ['PORT=99999', 'WORKERS=many', 'LOG_LEVEL=loud']) t.ok(lines.some(line => line.startsWith(`myserver: ${name}: `)), name)
  t.same(service.lines, [])
  t.notOk(service.hasRecord)
})

t.test('in the journal each problem has the priority of what ends a service', async t => {
  const service = new ServiceProcess(t, { env: { PORT: '99999', JOURNAL_STREAM: '1:2' } })
  t.match(await service.ended, { code: 78 })
  t.match(service.stderr, /^<2>myserver: PORT=99999: /)
})
