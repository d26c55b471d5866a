// The files in systemd/ and examples/ against the code that they serve, and against systemd's own opinion of them.

import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { hold } from '../src/cli/hold.ts'
import { readConfig, settings } from '../src/config.ts'

const root = resolve(import.meta.dirname, '..')
const installed = '/opt/myserver/current'
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const unit = read('systemd/myserver.service')
const env = read('systemd/myserver.env')
const maintenanceUnits = ['systemd/myserver-maintenance.service', 'systemd/myserver-maintenance@.service']
const shippedUnits = [
  'systemd/myserver.service', ...maintenanceUnits, ...readdirSync(join(root, 'examples')).map(name => `examples/${name}`)
]

// A setting in myserver.env: `#NAME=value`, right below its explanation.
const shown = [...env.matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => ({ name, value }))

// The value of a key in the unit; of the last one, where there are several.
function unitValue (key: string, text: string = unit): string | undefined {
  const unfolded = text.replaceAll(/\\\n\s*/g, '')
  return [...unfolded.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].at(-1)?.[1]
}

// systemd-analyze on a unit, as it would be if this checkout were the installed release and lay beside all its units.
async function analyze (t: Test, name: string, ...args: string[]): Promise<string> {
  const commands = { myserverctl: '#!/bin/sh\n', 'migrate-the-database': '#!/bin/sh\n' }
  const folder = t.testdir({
    ...commands,
    ...Object.fromEntries(shippedUnits.map(file => [basename(file),
      read(file).replaceAll(installed, root).replaceAll('/usr/local/bin', join(t.testdirName))]))
  })
  for (const command of Object.keys(commands)) chmodSync(join(folder, command), 0o755)
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, join(folder, name)], {
    encoding: 'utf8', env: { ...process.env, SYSTEMD_COLORS: '0', SYSTEMD_PAGER: 'cat', SYSTEMD_UNIT_PATH: `${folder}:` }
  })
  t.equal(status, 0, stderr)
  return stdout + stderr
}

// In CI the tool must be there.
const skip = process.env.CI === 'true' || spawnSync('systemd-analyze', ['--version']).status === 0
  ? false
  : 'needs systemd-analyze: apt-get install systemd'

t.test('myserver.env shows every setting of the service, and no other', async t => {
  t.same(shown.map(({ name }) => name), settings.map(({ name }) => name))
})

t.test('myserver.env changes nothing as it is shipped', async t => {
  t.same(env.split('\n').filter(line => line !== '' && !line.startsWith('#')), [])
})

t.test('every setting in myserver.env is explained', async t => {
  const paragraphs = env.split('\n\n').slice(1)
  for (const paragraph of paragraphs.filter(text => /^#[A-Z_]+=/m.test(text))) t.match(paragraph, /^# \S/)
})

t.test('the values in myserver.env are the defaults', async t => {
  const values = Object.fromEntries(shown.map(({ name, value }) => [name, value.replace(installed, root)]))
  const { STATE_DIRECTORY, CACHE_DIRECTORY, RUNTIME_DIRECTORY } = values
  const defaults = readConfig({ STATE_DIRECTORY, CACHE_DIRECTORY, RUNTIME_DIRECTORY })
  const config = readConfig({ ...values, LISTEN: undefined })
  t.match(defaults.address, { host: values.HOST, port: Number(values.PORT) })
  t.same({ ...config, address: undefined }, { ...defaults, address: undefined })
})

t.test('the socket that myserver.env suggests can be listened on', async t => {
  const path = shown.find(({ name }) => name === 'LISTEN')?.value
  t.match(path, new RegExp(`^/run/${unitValue('RuntimeDirectory')}/`))
  t.match(readConfig({ LISTEN: path }).address, { path })
})

t.test('the unit starts Node itself, and the inspector stays shut', async t => {
  t.equal(unitValue('ExecStart'),
    `${installed}/node_modules/.bin/node --disable-sigusr1 ${installed}/src/main.ts`)
})

t.test('the unit leaves the service the time that it takes by default to stop', async t => {
  const [, seconds] = /^(\d+)s$/.exec(unitValue('TimeoutStopSec') ?? '') ?? []
  t.ok(Number(seconds) * 1000 > readConfig({}).shutdownGraceMs)
})

t.test('the unit does not restart on a configuration error', async t => {
  const { status } = spawnSync(process.execPath, [join(root, 'src/main.ts'), '--check-config'], {
    env: { PORT: 'nonsense' }
  })
  t.equal(unitValue('RestartPreventExitStatus'), String(status))
})

t.test('the unit and sysusers.d name the same user', async t => {
  const [, user] = /^u (\S+) - "[^"]+" - -$/m.exec(read('systemd/myserver.sysusers')) ?? []
  for (const file of ['systemd/myserver.service', ...maintenanceUnits, 'examples/example-migration.service']) {
    t.equal(unitValue('User', read(file)), user, file)
    t.equal(unitValue('Group', read(file)), user, file)
  }
})

t.test('the maintenance units hold maintenance at the socket of the service', async t => {
  for (const file of maintenanceUnits) {
    const [node, script, ...args] = (unitValue('ExecStart', read(file)) ?? '').split(' ')
    t.equal(node, `${installed}/node_modules/.bin/node`)
    t.equal(script, `${installed}/src/cli/myserverctl.ts`)
    t.equal(args[0], 'hold')
    const socket = args[args.indexOf('--socket') + 1]
    t.equal(socket, readConfig({ RUNTIME_DIRECTORY: `/run/${unitValue('RuntimeDirectory')}` }).controlSocket)
    for (const option of args.filter(arg => arg.startsWith('--'))) t.match(hold.help, ` ${option} `)
  }
})

t.test('nothing but an operator stops a maintenance unit, since that leaves maintenance', async t => {
  for (const file of maintenanceUnits) {
    const text = read(file)
    for (const key of ['Requires', 'Requisite', 'BindsTo', 'PartOf', 'Conflicts', 'StopWhenUnneeded', 'RequiresMountsFor', 'PrivateTmp', 'JoinsNamespaceOf']) {
      t.equal(unitValue(key, text), undefined, `${file}: ${key}`)
    }
    t.equal(unitValue('DefaultDependencies', text), 'no', file)
    t.equal(unitValue('IgnoreOnIsolate', text), 'yes', file)
  }
  t.equal(unitValue('Slice', read('systemd/myserver-maintenance@.service')), 'system.slice', 'and no slice of its own')
})

t.test('the two maintenance units differ in the end and in what an instance needs', async t => {
  const [plain = [], instance = []] = maintenanceUnits.map(file => read(file).replaceAll(/^#.*\n/gm, '').split('\n'))
  t.same(plain.filter(line => !instance.includes(line)),
    ['Description=Maintenance of myserver', '  --holder %N --reason "systemctl start %n" --socket /run/myserver/control.sock'])
  t.same(instance.filter(line => !plain.includes(line)),
    ['Description=Maintenance of myserver for %i', 'Slice=system.slice', '  --holder %N --for %i --reason "systemctl start %n" --socket /run/myserver/control.sock'])
})

for (const file of shippedUnits) {
  t.test(`systemd-analyze verify has nothing to say about ${file}`, { skip }, async t => {
    const name = basename(file).replace('@.', '@30m.')
    const said = await analyze(t, name, 'verify', '--man=no')
    t.same(said.split('\n').filter(line => /myserver|example|weekly/.test(line)), [])
  })
}

t.test('systemd-analyze security puts the unit at 1.2 or lower', { skip }, async t => {
  const [, score] = /Overall exposure level for myserver\.service: ([\d.]+)/.exec(
    await analyze(t, 'myserver.service', 'security', '--offline=true')) ?? []
  t.ok(Number(score) <= 1.2, `${score} <= 1.2`)
})

t.test('systemd knows the system call groups that the unit names', { skip }, async t => {
  const groups = [...unit.matchAll(/^SystemCallFilter=(.*)$/gm)].flatMap(([, value = '']) => value.match(/@[a-z-]+/g) ?? [])
  for (const group of groups) t.match(execFileSync('systemd-analyze', ['syscall-filter', group], { encoding: 'utf8' }), group)
})
