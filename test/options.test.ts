import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { settings } from '../src/config.ts'
import { answerOptions } from '../src/options.ts'
import { root } from './helpers/places.ts'
import { ServiceProcess } from './helpers/service.ts'

const env = { HOME: '/home/somebody' }

t.test('without an option the service is to be started', async t => {
  t.equal(answerOptions([], env), undefined)
})

t.test('--help names every variable, with its default, and no other', async t => {
  const { code, out = '', err } = answerOptions(['--help'], env) ?? {}
  t.same({ code, err }, { code: 0, err: '' })
  const list = out.slice(out.indexOf('Environment'))
  const named = [...list.matchAll(/^ {2}([A-Z_]+) /gm)].map(([, name]) => name)
  t.same(named, settings.map(({ name }) => name))
  for (const setting of settings) if ('default' in setting) t.match(list, `(${setting.default})`, `${setting.name} shows its default`)
})

t.test('--help names every option', async t => {
  const { out = '' } = answerOptions(['--help'], env) ?? {}
  const named = [...out.matchAll(/^ {2}(--[a-z-]+) /gm)].map(([, name]) => name)
  for (const option of named) t.not(answerOptions([option ?? ''], env)?.code, 2, `${option} is known`)
  t.same(named.toSorted(), ['--check-config', '--help', '--version'])
})

t.test('--version is that of package.json', async t => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.same(answerOptions(['--version'], env), { code: 0, out: `${version}\n`, err: '' })
})

t.test('--check-config shows what would be used', async t => {
  const { code, out = '', err } = answerOptions(['--check-config'], { ...env, PORT: '8080' }) ?? {}
  t.same({ code, err }, { code: 0, err: '' })
  t.match(out, /"port": 8080/)
})

t.test('--check-config shows no password, right or wrong', async t => {
  for (const check of ['http://me:geheim@127.0.0.1/ready', 'tcp://me:geheim@127.0.0.1:5432', 'ftp://me:geheim@host/', 'http://me:gehe/im@geheim@host/']) {
    const { out = '', err = '' } = answerOptions(['--check-config'], { ...env, MAINTENANCE_CHECK: check }) ?? {}
    if (!check.startsWith('tcp:')) t.match(out + err, /me:\*\*\*@/, check)
    t.notMatch(out + err, /gehe/, check)
  }
  const plain = 'http://127.0.0.1/?mail=a:b@c'
  t.match(answerOptions(['--check-config'], { ...env, MAINTENANCE_CHECK: plain })?.out, plain)
})

t.test('--check-config tells all problems and ends with 78', async t => {
  const { code, out, err = '' } = answerOptions(['--check-config'], { ...env, PORT: 'x', WORKERS: 'y' }) ?? {}
  t.same({ code, out }, { code: 78, out: '' })
  t.match(err, /^PORT=x: [^\n]+\nWORKERS=y: [^\n]+\n$/)
})

for (const args of [['--verbose'], ['start'], ['--help', '--version'], ['']]) {
  t.test(`${JSON.stringify(args)} is wrong usage, and says how to find out`, async t => {
    const { code, out, err = '' } = answerOptions(args, env) ?? {}
    t.same({ code, out }, { code: 2, out: '' })
    t.match(err, /^myserver: [^\n]+\nTry: myserver --help\n$/)
  })
}

t.test('the process answers an option and ends, without starting anything', async t => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const service = new ServiceProcess(t, { args: ['--version'], env: { PORT: 'nonsense' } })
  t.same(await service.ended, { code: 0, signal: null })
  t.same(service.otherOutput, [version])
  t.notOk(service.hasRecord)
})

t.test('the whole help reaches a pipe', async t => {
  const service = new ServiceProcess(t, { args: ['--help'] })
  t.same(await service.ended, { code: 0, signal: null })
  t.equal(service.otherOutput.join('\n') + '\n', answerOptions(['--help'], env)?.out)
})

t.test('the process checks the configuration and ends with 78', async t => {
  const service = new ServiceProcess(t, { args: ['--check-config'], env: { PORT: 'nonsense', WORKERS: '0' } })
  t.same(await service.ended, { code: 78, signal: null })
  t.equal(service.stderr.trimEnd().split('\n').length, 2)
  t.notOk(service.hasRecord)
})
