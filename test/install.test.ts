// install.sh below a DESTDIR: nothing on this machine is touched. What it does to a running systemd is tested in
// test/system/.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync, chmodSync, cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync,
  realpathSync, rmSync, statSync, symlinkSync, writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, join, resolve } from 'node:path'
import t, { type Test } from 'tap'

const root = resolve(import.meta.dirname, '..')
const installer = join(root, 'install.sh')
const NOBODY = 65534
const isRoot = process.getuid?.() === 0
const needsRoot = { skip: isRoot || process.env.CI === 'true' ? false : 'needs root: sudo npm test' }
// npm fetches, and unpacks the hundred megabytes that Node is.
t.setTimeout(10 * 60_000)
t.jobs = 1

// A fresh clone: what install.sh takes, and what it must not.
function clone (t: Test): string {
  const folder = temporary(t)
  for (const name of ['package.json', 'package-lock.json', 'src', 'public', 'systemd', 'install.sh', 'LICENSE']) {
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  mkdirSync(join(folder, 'node_modules'))
  writeFileSync(join(folder, 'node_modules/of-the-clone'), '')
  return folder
}

function temporary (t: Test): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'myserver-install-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

// A folder of commands that come before this machine's own.
function stubs (t: Test, commands: Record<string, string>): string {
  const folder = temporary(t)
  for (const [name, script] of Object.entries(commands)) writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return folder
}

// An npm that gives a release the dependencies of this checkout instead of fetching them.
const quickNpm = `mkdir -p node_modules/.bin && ln -s '${root}'/node_modules/* node_modules/`

interface Options { from?: string, bin?: string, path?: string, command?: string[] }

// The environment without what npm and tap put there: an installer is not started by them.
function environment ({ bin, path = process.env.PATH ?? '' }: Options, destination: string): NodeJS.ProcessEnv {
  const outer = Object.entries(process.env).filter(([name]) => !/^(npm_|TAP|_TAP|NODE_OPTIONS)/i.test(name))
  return { ...Object.fromEntries(outer), DESTDIR: destination, PATH: bin === undefined ? path : `${bin}${delimiter}${path}` }
}

function install (destination: string, args: string[] = [], options: Options = {}) {
  const [file = '', ...before] = [...options.command ?? [], options.from === undefined ? installer : join(options.from, 'install.sh')]
  const { status, stdout, stderr } = spawnSync(file, [...before, ...args], { encoding: 'utf8', env: environment(options, destination) })
  return { status, stdout, stderr }
}

// Two releases of the same second would have the same name.
function upgrade (t: Test, destination: string, from: string = root) {
  const clock = stubs(t, { npm: quickNpm, date: `case $* in *%Y%m%dT*) echo ${++upgrades} ;; *) exec /bin/date "$@" ;; esac` })
  return install(destination, [], { from, bin: clock })
}
let upgrades = 0

const releases = (destination: string) => readdirSync(join(destination, 'opt/myserver/releases'))
const current = (destination: string) => basename(readlinkSync(join(destination, 'opt/myserver/current')))
const settingsOf = (destination: string) => join(destination, 'etc/myserver/myserver.env')
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

t.test('it is clean for shellcheck', {
  skip: process.env.CI === 'true' || spawnSync('shellcheck', ['--version']).status === 0 ? false : 'needs shellcheck'
}, async t => {
  const { status, stdout } = spawnSync('shellcheck', [installer], { encoding: 'utf8' })
  t.equal(status, 0, stdout)
})

t.test('--help tells every option', async t => {
  const { status, stdout } = install('', ['--help'])
  t.equal(status, 0)
  for (const word of ['--uninstall', '--purge', '--help', 'DESTDIR']) t.match(stdout, word)
})

t.test('an unknown option is named, and nothing happens', async t => {
  const destination = temporary(t)
  const { status, stderr } = install(destination, ['--upgrade'])
  t.equal(status, 2)
  t.match(stderr, /unknown option --upgrade/)
  t.equal(install(destination, ['--purge', '--help']).status, 2)
  t.same(readdirSync(destination), [])
})

t.test('without root it says so, and nothing happens', async t => {
  const destination = temporary(t)
  chmodSync(destination, 0o777)
  const command = isRoot ? ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] : []
  const { status, stderr } = install(destination, [], { from: clone(t), command })
  t.equal(status, 1)
  t.match(stderr, /must run as root: sudo/)
  t.same(readdirSync(destination), [])
})

t.test('on a machine that cannot run it, it says why, and nothing happens', needsRoot, async t => {
  const everythingButNpm = temporary(t)
  for (const folder of ['/usr/bin', '/bin']) {
    for (const name of readdirSync(folder)) {
      const link = join(everythingButNpm, name)
      if (!/^np[mx]$/.test(name) && lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(join(folder, name), link)
    }
  }
  const machines: Array<[Options, RegExp]> = [
    [{ bin: stubs(t, { uname: 'echo Darwin' }) }, /runs on Linux only, and this is Darwin/],
    [{ bin: stubs(t, { uname: '[ "$1" = -s ] && echo Linux || echo riscv64' }) }, /x86_64 or aarch64 .* riscv64/],
    [{ bin: stubs(t, { getconf: 'exit 1' }) }, /needs a Linux with glibc/],
    [{ path: everythingButNpm }, /npm is missing: apt-get install npm/]
  ]
  for (const [options, why] of machines) {
    const destination = temporary(t)
    const { status, stdout, stderr } = install(destination, [], options)
    t.equal(status, 1)
    t.match(stderr, why)
    t.equal(stdout, '')
    t.same(readdirSync(destination), [])
  }
})

t.test('from clean to purged', needsRoot, async t => {
  const destination = temporary(t)
  const settings = settingsOf(destination)
  const record = join(destination, 'var/lib/myserver/maintenance.json')

  await t.test('it installs from a read-only clone of another user, under umask 077', async t => {
    const from = clone(t)
    spawnSync('chown', ['-R', String(NOBODY), from])
    spawnSync('chmod', ['-R', 'a=,u=rX', from])
    spawnSync('chmod', ['u+x', join(from, 'install.sh')])
    const { status, stdout, stderr } = install(destination, [], { from, command: ['sh', '-c', 'umask 077; exec "$0" "$@"'] })
    t.equal(status, 0, stderr)
    t.match(stdout, /nothing was started/)
  })

  await t.test('every user can read the release, and only root can write to it', async t => {
    const release = join(destination, 'opt/myserver/releases', current(destination))
    const find = ['(', '-not', '-user', 'root', '-o', '-not', '-perm', '-o=r', '-o', '-perm', '/go=w', ')', '-not', '-type', 'l']
    t.equal(spawnSync('find', [join(destination, 'opt'), ...find], { encoding: 'utf8' }).stdout, '')
    t.equal(existsSync(join(release, 'node_modules/of-the-clone')), false)
    t.equal(existsSync(join(release, 'node_modules/tap')), false)
  })

  await t.test('the release runs on the Node that came with it', async t => {
    const release = join(destination, 'opt/myserver/current')
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
    const node = join(release, 'node_modules/.bin/node')
    t.equal(spawnSync(node, [join(release, 'src/main.ts'), '--version'], { encoding: 'utf8' }).stdout, `${version}\n`)
    t.match(realpathSync(node), join(destination, 'opt/myserver/releases'))
  })

  await t.test('unit, user, settings and command are in place', async t => {
    for (const [path, shipped] of [
      ['etc/systemd/system/myserver.service', 'myserver.service'],
      ['etc/sysusers.d/myserver.conf', 'myserver.sysusers'],
      ['etc/myserver/myserver.env', 'myserver.env']
    ] as const) {
      t.equal(readFileSync(join(destination, path), 'utf8'), readFileSync(join(root, 'systemd', shipped), 'utf8'))
    }
    t.ok(lstatSync(join(destination, 'etc/systemd/system/multi-user.target.wants/myserver.service')).isSymbolicLink())
    t.match(readFileSync(join(destination, 'etc/passwd'), 'utf8'), /^myserver:/m)
    t.equal(mode(settings), '640')
    t.equal(mode(join(destination, 'usr/local/bin/myserver')), '755')
    t.equal(spawnSync('sh', ['-n', join(destination, 'usr/local/bin/myserver')]).status, 0)
  })

  await t.test('the first record says live, and is its user\'s', async t => {
    t.match(JSON.parse(readFileSync(record, 'utf8')), { version: 1, mode: 'live', by: 'install' })
    const [, uid] = /^myserver:x:(\d+):/m.exec(readFileSync(join(destination, 'etc/passwd'), 'utf8')) ?? []
    t.equal(statSync(record).uid, Number(uid))
    t.equal(mode(record), '640')
    t.equal(mode(join(record, '..')), '750')
  })

  await t.test('a release in use stays; of the others only two do', async t => {
    const first = current(destination)
    const running = spawn(join(destination, 'opt/myserver/current/node_modules/.bin/node'), ['-i'], { stdio: ['pipe', 'ignore', 'ignore'] })
    await once(running, 'spawn')
    upgrade(t, destination)
    const second = current(destination)
    upgrade(t, destination)
    t.equal(upgrade(t, destination).status, 0)
    t.notOk(releases(destination).includes(second))
    t.ok(releases(destination).includes(first))
    running.stdin.end()
    await once(running, 'exit')
    upgrade(t, destination)
    t.equal(releases(destination).length, 2)
  })

  await t.test('an upgrade replaces untouched settings', async t => {
    const from = clone(t)
    appendFileSync(join(from, 'systemd/myserver.env'), '\n# new\n')
    upgrade(t, destination, from)
    t.match(readFileSync(settings, 'utf8'), /# new\n$/)
    upgrade(t, destination)
    t.notMatch(readFileSync(settings, 'utf8'), /# new/)
  })

  await t.test('an upgrade keeps edited settings, and says so only if there are new ones', async t => {
    appendFileSync(settings, 'WORKERS=2\n')
    t.notMatch(upgrade(t, destination).stdout, /edited/)
    t.match(readFileSync(settings, 'utf8'), /WORKERS=2\n$/)
    t.notOk(existsSync(`${settings}.new`))
    const from = clone(t)
    appendFileSync(join(from, 'systemd/myserver.env'), '\n# new\n')
    t.match(upgrade(t, destination, from).stdout, `kept ${settings}, which was edited`)
    t.match(readFileSync(settings, 'utf8'), /WORKERS=2\n$/)
    t.match(readFileSync(`${settings}.new`, 'utf8'), /# new\n$/)
    t.notMatch(upgrade(t, destination, from).stdout, /edited/)
  })

  await t.test('an upgrade never touches the record', async t => {
    writeFileSync(record, 'as the service left it')
    upgrade(t, destination)
    t.equal(readFileSync(record, 'utf8'), 'as the service left it')
    rmSync(record)
    upgrade(t, destination)
    t.notOk(existsSync(record), 'a lost record is not made up for')
  })

  await t.test('settings that the new release does not accept stop the upgrade', async t => {
    const before = releases(destination)
    appendFileSync(settings, 'PORT=nonsense\n')
    const { status, stderr } = upgrade(t, destination)
    t.equal(status, 1)
    t.match(stderr, /PORT=nonsense/)
    t.match(stderr, `does not accept ${settings}`)
    t.same(releases(destination), before)
  })

  await t.test('one at a time', async t => {
    const { status, stderr } = install(destination, [], { command: ['flock', join(destination, 'opt/myserver')] })
    t.equal(status, 1)
    t.match(stderr, /another install.sh is at work/)
  })

  await t.test('--uninstall keeps state and settings, and an installation over them changes neither', async t => {
    writeFileSync(settings, 'WORKERS=2\n')
    writeFileSync(record, 'kept')
    t.match(install(destination, ['--uninstall']).stdout, /kept /)
    for (const gone of ['opt/myserver', 'usr/local/bin/myserver', 'etc/systemd/system/myserver.service', 'var/cache/myserver']) {
      t.notOk(existsSync(join(destination, gone)), gone)
    }
    t.equal(upgrade(t, destination).status, 0)
    t.equal(readFileSync(settings, 'utf8'), 'WORKERS=2\n')
    t.equal(readFileSync(record, 'utf8'), 'kept')
  })

  await t.test('--purge leaves nothing', async t => {
    t.equal(install(destination, ['--purge']).status, 0)
    t.equal(spawnSync('find', [destination, '-name', '*myserver*', '-not', '-path', destination], { encoding: 'utf8' }).stdout, '')
    for (const file of ['passwd', 'group']) t.notMatch(readFileSync(join(destination, 'etc', file), 'utf8'), /myserver/)
    t.equal(install(destination, ['--purge']).status, 0, 'and may be repeated')
  })
})

t.test('what fails or is interrupted leaves nothing half-done', needsRoot, async t => {
  const failures: Array<[string, string, RegExp]> = [
    ['npm fails', 'echo "no route to anywhere" >&2; mkdir node_modules; exit 1', /no route to anywhere\n.*npm ci failed/],
    ['npm brings no Node', 'mkdir -p node_modules/.bin', /the Node that npm installed does not run/],
    ['Ctrl-C', 'kill -INT 0; exit 1', /interrupted/],
    ['the terminal is closed', 'kill -HUP 0; exit 1', /interrupted/]
  ]
  for (const [what, npm, says] of failures) {
    await t.test(what, async t => {
      // A session of its own, as a terminal gives one: its signals do not reach this test.
      const options = { bin: stubs(t, { npm }), command: ['setsid', '--wait'] }
      const destination = temporary(t)
      const { status, stderr } = install(destination, [], options)
      t.not(status, 0)
      t.match(stderr, says)
      t.match(stderr, /nothing was installed/)
      t.same(readdirSync(join(destination, 'opt')), [])
      t.same(readdirSync(destination), ['opt'])

      upgrade(t, destination)
      const before = { current: current(destination), releases: releases(destination) }
      t.match(install(destination, [], options).stderr, `release ${before.current} is still the installed one`)
      t.same({ current: current(destination), releases: releases(destination) }, before)
    })
  }
})

t.test('files that are not from this script stop it', needsRoot, async t => {
  const destination = temporary(t)
  const unit = join(destination, 'etc/systemd/system/myserver.service')
  mkdirSync(join(unit, '..'), { recursive: true })
  writeFileSync(unit, '[Service]\nExecStart=/usr/bin/another-myserver\n')
  const { status, stderr } = install(destination)
  t.equal(status, 1)
  t.match(stderr, `${unit} is in the way`)
  t.equal(install(destination, ['--purge']).status, 0)
  t.ok(existsSync(unit), 'not even --purge removes them')
})
