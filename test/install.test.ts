// install.sh below a DESTDIR: what stops it, and that nothing is left half-done then. Nothing on this machine is touched;
// what it does to a running systemd is tested in test/system/.

import { spawnSync } from 'node:child_process'
import {
  chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  INSTALL_TIMEOUT_MS, NOBODY, clone, current, find, install, installer, isRoot, needsRoot, quickNpm, releases, stubs, temporary, upgrade, type Options
} from './helpers/installation.ts'

t.setTimeout(INSTALL_TIMEOUT_MS)
t.jobs = 1

const asNobody = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']

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
  t.match(install(destination, ['']), { status: 2, stderr: /unknown option ""/ })
  t.same(readdirSync(destination), [])
})

t.test('a DESTDIR that is the machine itself is refused', async t => {
  // As another user, for whom a script that does not refuse it does nothing either.
  const command = isRoot ? asNobody : []
  const from = clone(t)
  const link = join(temporary(t), 'link')
  symlinkSync('/', link)
  for (const destination of ['/', '//', '/tmp/..', '/nowhere/..', link]) {
    for (const args of [[], ['--purge']]) {
      t.match(install(destination, args, { from, command }), { status: 2, stderr: `DESTDIR=${destination} is this machine itself` })
    }
  }
})

t.test('a DESTDIR that is not there is made by an installation only, and may be a relative path', needsRoot, async t => {
  const folder = temporary(t)
  const command = ['env', '-C', folder]
  t.match(install('image', ['--purge'], { command }), { status: 0, stdout: `on ${folder}/image is no myserver` })
  t.same(readdirSync(folder), [])
  t.match(install('image', [], { command, bin: stubs(t, { npm: quickNpm }) }), { status: 0, stdout: `below ${folder}/image; nothing was started` })
  t.ok(existsSync(join(folder, 'image/opt/myserver/current')))
})

t.test('without root it says so, and nothing happens', async t => {
  const destination = temporary(t)
  chmodSync(destination, 0o777)
  const { status, stderr } = install(destination, [], { from: clone(t), command: isRoot ? asNobody : [] })
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

t.test('what fails or is interrupted leaves nothing half-done', needsRoot, async t => {
  const failures: Array<[string, string, RegExp]> = [
    ['npm fails', 'echo "no route to anywhere" >&2; mkdir node_modules; exit 1', /no route to anywhere\n.*npm ci failed/],
    ['npm brings no Node', 'mkdir -p node_modules/.bin', /the Node that npm installed does not run/],
    ['Ctrl-C', 'kill -INT 0; exit 1', /interrupted/],
    ['Ctrl-\\', 'kill -QUIT 0; exit 1', /interrupted/],
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
      t.equal(find(destination, '-not', '-type', 'd'), '')
      t.equal(find(destination, '-mindepth', '1', '-name', '*myserver*'), '')

      upgrade(t, destination)
      const before = { current: current(destination), releases: releases(destination) }
      t.match(install(destination, [], options).stderr, `release ${before.current} is still the installed one`)
      t.same({ current: current(destination), releases: releases(destination) }, before)
    })
  }
})

// A file that another service of the same name has, with nothing of ours in it.
function writeForeign (destination: string, path: string): string {
  const file = join(destination, path)
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, '[Service]\nExecStart=/opt/myserver/current/bin/another-myserver\n')
  return file
}

t.test('files that are not from this script stop it, and nothing removes them', needsRoot, async t => {
  for (const [path, named = path] of [
    ['etc/systemd/system/myserver.service'], ['etc/systemd/system/myserver-maintenance.service'],
    ['etc/systemd/system/myserver-maintenance@.service'], ['usr/local/bin/myserver'], ['usr/local/bin/myserverctl'],
    ['opt/myserver/current/bin/another-myserver', 'opt/myserver'], ['var/lib/myserver/accounts.db', 'var/lib/myserver'],
    ['var/cache/myserver/thumbnail', 'var/cache/myserver']
  ] as const) {
    const destination = temporary(t)
    const file = writeForeign(destination, path)
    const { status, stderr } = install(destination)
    t.equal(status, 1)
    t.match(stderr, `${join(destination, named)} is in the way`)
    for (const option of ['--uninstall', '--purge']) {
      const { status, stdout } = install(destination, [option])
      t.equal(status, 0, 'as the help says')
      t.match(stdout, `nothing to remove: on ${destination} is no myserver`)
      t.ok(existsSync(file), `${option} leaves ${path}`)
    }
  }
})

t.test('of an installation of another myserver nothing is removed', needsRoot, async t => {
  const destination = temporary(t)
  const files = [
    'etc/systemd/system/myserver.service', 'etc/systemd/system/myserver.service.d/own.conf', 'etc/sysusers.d/myserver.conf',
    'etc/systemd/system/multi-user.target.wants/myserver.service', 'etc/myserver/myserver.env', 'etc/myserver/key',
    'opt/myserver/releases/1/main', 'var/lib/myserver/data', 'var/cache/myserver/data'
  ].map(path => writeForeign(destination, path))
  writeFileSync(join(destination, 'etc/passwd'), 'myserver:x:150:150:another:/:/bin/false\n')
  for (const option of ['--uninstall', '--purge']) {
    t.equal(install(destination, [option]).status, 0)
    for (const file of files) t.ok(existsSync(file), `${option} leaves ${file}`)
  }
  t.match(readFileSync(join(destination, 'etc/passwd'), 'utf8'), /^myserver:/)
})

t.test('beside an installation, what others have put there stays', needsRoot, async t => {
  const destination = temporary(t)
  const files = ['etc/sysusers.d/myserver.conf', 'etc/myserver/key'].map(path => writeForeign(destination, path))
  const passwd = join(destination, 'etc/passwd')
  writeFileSync(passwd, 'myserver:x:150:150:another:/:/bin/false\n')
  t.equal(upgrade(t, destination).status, 0)
  const unit = join(destination, 'etc/systemd/system/myserver.service')
  renameSync(unit, `${unit}.ours`)
  writeForeign(destination, 'etc/systemd/system/myserver.service')
  for (const option of ['--uninstall', '--purge']) {
    const { status, stderr } = install(destination, [option])
    t.equal(status, 1)
    t.match(stderr, `${unit} is in the way`)
    t.ok(existsSync(join(destination, 'opt/myserver/current')), 'all or nothing')
  }
  renameSync(`${unit}.ours`, unit)
  const { status, stdout } = install(destination, ['--purge'])
  t.equal(status, 0)
  for (const file of files) t.ok(existsSync(file), file)
  t.match(readFileSync(passwd, 'utf8'), /^myserver:/)
  for (const kept of [files[0], join(destination, 'etc/myserver'), 'the user myserver']) t.match(stdout, `kept ${kept}`)
  t.notOk(existsSync(join(destination, 'var/lib/myserver')))
})

t.test('a checkout that lacks something stops it', needsRoot, async t => {
  for (const path of ['systemd/myserver-maintenance@.service', 'src/cli/myserverctl.ts']) {
    const from = clone(t)
    rmSync(join(from, path))
    const destination = temporary(t)
    const { status, stderr } = install(destination, [], { from })
    t.equal(status, 1)
    t.match(stderr, `${from} is no complete checkout: ${path} is missing`)
    t.same(readdirSync(destination), [])
  }
})

t.test('a release is on the disk before it becomes the current one', needsRoot, async t => {
  const destination = temporary(t)
  const log = join(temporary(t), 'log')
  const sync = `ls -d "$DESTDIR"/opt/myserver/current 2>/dev/null >>${log}; echo "$@" >>${log}; exec /bin/sync "$@"`
  t.equal(install(destination, [], { bin: stubs(t, { npm: quickNpm, sync }) }).status, 0)
  t.match(readFileSync(log, 'utf8'), new RegExp(`^-f ${destination}/opt/myserver/releases\n$`, 'm'))
  t.notMatch(readFileSync(log, 'utf8'), /current/)
})
