// install.sh below a DESTDIR: what stops it, and that nothing is left half-done then. Nothing on this machine is touched;
// what it does to a running systemd is tested in test/system/.

import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  INSTALL_TIMEOUT_MS, NOBODY, clone, current, install, installer, isRoot, needsRoot, releases, stubs, temporary, upgrade, type Options
} from './helpers/installation.ts'

t.setTimeout(INSTALL_TIMEOUT_MS)
t.jobs = 1

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
  for (const path of [
    'etc/systemd/system/myserver.service', 'etc/systemd/system/myserver-maintenance.service',
    'etc/systemd/system/myserver-maintenance@.service', 'usr/local/bin/myserver', 'usr/local/bin/myserverctl'
  ]) {
    const destination = temporary(t)
    const file = join(destination, path)
    mkdirSync(join(file, '..'), { recursive: true })
    writeFileSync(file, '[Service]\nExecStart=/usr/bin/another-myserver\n')
    const { status, stderr } = install(destination)
    t.equal(status, 1)
    t.match(stderr, `${file} is in the way`)
    t.equal(install(destination, ['--purge']).status, 0)
    t.ok(existsSync(file), 'not even --purge removes them')
  }
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
