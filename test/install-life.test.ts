// install.sh below a DESTDIR, from clean to purged: what it installs, what an upgrade keeps, and what is left afterwards.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import {
  INSTALL_TIMEOUT_MS, NOBODY, clone, current, find, install, mode, needsRoot, releases, root, settingsOf, temporary, upgrade
} from './helpers/installation.ts'

t.setTimeout(INSTALL_TIMEOUT_MS)
t.jobs = 1

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
    const readOnly = ['(', '-not', '-user', 'root', '-o', '-not', '-perm', '-o=r', '-o', '-perm', '/go=w', ')', '-not', '-type', 'l']
    t.equal(find(join(destination, 'opt'), ...readOnly), '')
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

  await t.test('units, user, settings and commands are in place', async t => {
    for (const [path, shipped] of [
      ['etc/systemd/system/myserver.service', 'myserver.service'],
      ['etc/systemd/system/myserver-maintenance.service', 'myserver-maintenance.service'],
      ['etc/systemd/system/myserver-maintenance@.service', 'myserver-maintenance@.service'],
      ['etc/sysusers.d/myserver.conf', 'myserver.sysusers'],
      ['etc/myserver/myserver.env', 'myserver.env']
    ] as const) {
      t.equal(readFileSync(join(destination, path), 'utf8'), readFileSync(join(root, 'systemd', shipped), 'utf8'))
    }
    t.ok(lstatSync(join(destination, 'etc/systemd/system/multi-user.target.wants/myserver.service')).isSymbolicLink())
    t.match(readFileSync(join(destination, 'etc/passwd'), 'utf8'), /^myserver:/m)
    t.equal(mode(settings), '640')
    for (const command of ['myserver', 'myserverctl']) {
      const path = join(destination, 'usr/local/bin', command)
      t.equal(mode(path), '755')
      t.equal(spawnSync('sh', ['-n', path]).status, 0)
    }
    t.ok(existsSync(join(destination, 'opt/myserver/current/examples/example-migration.service')))
  })

  await t.test('myserverctl works for any user, with its arguments as they are and without the settings of the service', async t => {
    const wrapper = readFileSync(join(destination, 'usr/local/bin/myserverctl'), 'utf8')
    t.notMatch(wrapper, /myserver\.env/)
    const below = join(temporary(t), 'myserverctl')
    writeFileSync(below, wrapper.replaceAll('/opt/myserver', `${destination}/opt/myserver`), { mode: 0o755 })
    const nobody = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', below]
    t.match(spawnSync('setpriv', [...nobody, 'on', '--help'], { encoding: 'utf8' }), { status: 0, stdout: /^Usage: myserverctl on / })
    const nowhere = spawnSync('setpriv', [...nobody, 'status', '--socket', '/no where'], { encoding: 'utf8' })
    t.match(nowhere, { status: 3, stderr: /there is no \/no where/ })
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

  await t.test('an upgrade does not enable what was disabled, and says so', async t => {
    const link = join(destination, 'etc/systemd/system/multi-user.target.wants/myserver.service')
    t.notMatch(upgrade(t, destination).stdout, /disabled/)
    t.ok(lstatSync(link).isSymbolicLink())
    rmSync(link)
    t.match(upgrade(t, destination), { status: 0, stdout: /was disabled and stays so/ })
    t.notOk(existsSync(link))
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
    rmSync(dirname(record), { recursive: true })
    upgrade(t, destination)
    t.notOk(existsSync(record), 'nor where its folder is lost too')
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
    mkdirSync(dirname(record))
    writeFileSync(record, 'kept')
    t.match(install(destination, ['--uninstall']).stdout, /kept /)
    for (const gone of [
      'opt/myserver', 'usr/local/bin/myserver', 'usr/local/bin/myserverctl', 'etc/systemd/system/myserver.service',
      'etc/systemd/system/myserver-maintenance.service', 'etc/systemd/system/myserver-maintenance@.service', 'var/cache/myserver'
    ]) {
      t.notOk(existsSync(join(destination, gone)), gone)
    }
    t.equal(upgrade(t, destination).status, 0)
    t.equal(readFileSync(settings, 'utf8'), 'WORKERS=2\n')
    t.equal(readFileSync(record, 'utf8'), 'kept')
  })

  await t.test('--uninstall saves what was edited of what it removes, and only that', async t => {
    const edited = ['etc/systemd/system/myserver.service', 'etc/sysusers.d/myserver.conf'].map(path => join(destination, path))
    for (const file of edited) appendFileSync(file, '# mine\n')
    const { stdout } = install(destination, ['--uninstall'])
    for (const file of edited) {
      t.notOk(existsSync(file))
      t.match(readFileSync(`${file}.saved`, 'utf8'), /# mine\n$/)
      t.match(stdout, `saved ${file}, which was edited, as ${file}.saved`)
    }
    t.equal(find(join(destination, 'etc'), '-name', '*.saved').trim().split('\n').length, edited.length)
  })

  await t.test('--purge after --uninstall leaves nothing', async t => {
    t.equal(install(destination, ['--purge']).status, 0)
    t.equal(find(destination, '-mindepth', '1', '-name', '*myserver*'), '')
    for (const file of ['passwd', 'group']) t.notMatch(readFileSync(join(destination, 'etc', file), 'utf8'), /myserver/)
    t.match(install(destination, ['--purge']), { status: 0, stdout: /nothing to remove/ }, 'and may be repeated')
  })

  await t.test('--purge of what is installed leaves nothing either, not even what was edited', async t => {
    upgrade(t, destination)
    appendFileSync(join(destination, 'etc/sysusers.d/myserver.conf'), '# mine\n')
    t.equal(install(destination, ['--purge']).status, 0)
    t.equal(find(destination, '-mindepth', '1', '-name', '*myserver*'), '')
  })
})
