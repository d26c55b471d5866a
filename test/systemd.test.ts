// The files in systemd/ against the code that they serve, and against systemd's own opinion of them.

import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { readConfig, settings } from '../src/config.ts'

const root = resolve(import.meta.dirname, '..')
const installed = '/opt/myserver/current'
const unitFile = join(root, 'systemd/myserver.service')
const unit = readFileSync(unitFile, 'utf8')
const env = readFileSync(join(root, 'systemd/myserver.env'), 'utf8')

// A setting in myserver.env: `#NAME=value`, right below its explanation.
const shown = [...env.matchAll(/^#([A-Z_]+)=(.*)$/gm)].map(([, name = '', value = '']) => ({ name, value }))

// The value of a key in the unit; of the last one, where there are several.
function unitValue (key: string): string | undefined {
  return [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].at(-1)?.[1]
}

// systemd-analyze on the unit, as it would be if this checkout were the installed release.
async function analyze (t: Test, ...args: string[]): Promise<string> {
  const folder = t.testdir({ 'myserver.service': unit.replaceAll(installed, root) })
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, join(folder, 'myserver.service')], {
    encoding: 'utf8', env: { ...process.env, SYSTEMD_COLORS: '0', SYSTEMD_PAGER: 'cat' }
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
  const [, user] = /^u (\S+) - "[^"]+" - -$/m.exec(readFileSync(join(root, 'systemd/myserver.sysusers'), 'utf8')) ?? []
  t.equal(unitValue('User'), user)
  t.equal(unitValue('Group'), user)
})

t.test('systemd-analyze verify has nothing to say about the unit', { skip }, async t => {
  const said = await analyze(t, 'verify', '--man=no')
  t.same(said.split('\n').filter(line => line.includes('myserver')), [])
})

t.test('systemd-analyze security puts the unit at 1.2 or lower', { skip }, async t => {
  const [, score] = /Overall exposure level for myserver\.service: ([\d.]+)/.exec(
    await analyze(t, 'security', '--offline=true')) ?? []
  t.ok(Number(score) <= 1.2, `${score} <= 1.2`)
})

t.test('systemd knows the system call groups that the unit names', { skip }, async t => {
  const groups = [...unit.matchAll(/^SystemCallFilter=(.*)$/gm)].flatMap(([, value = '']) => value.match(/@[a-z-]+/g) ?? [])
  for (const group of groups) t.match(execFileSync('systemd-analyze', ['syscall-filter', group], { encoding: 'utf8' }), group)
})
