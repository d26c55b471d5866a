// What can be asked over the control socket, of the real service.

import { rmSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { call, Follower, type Reply } from '../helpers/call.ts'
import { startService } from '../helpers/service.ts'

t.setTimeout(120_000)

const service = await startService(t)
const socket = join(service.folder, 'run/control.sock')
const me = `${userInfo().username}, uid ${userInfo().uid}, pid ${process.pid}`

async function ask (method: string, path: string, body?: unknown, type?: string): Promise<Reply> {
  return await call(socket, method, path, body, type)
}

t.beforeEach(() => service.forgetLines())
t.afterEach(async () => { await ask('DELETE', '/v1/maintenance') })

t.test('entering and leaving are answered with how things stand, and logged with who asked', async t => {
  const entered = await ask('PUT', '/v1/maintenance', { reason: 'postgres', message: 'Back soon', forMs: 60_000, then: 'check' })
  t.equal(entered.status, 200)
  t.match(entered.json, {
    mode: 'maintenance', by: me, durable: true, leaving: false, holders: [{ name: 'operator', by: me, reason: 'postgres', message: 'Back soon', then: 'check' }]
  })
  t.match(await service.line('maintenance-entered'), { by: me, holder: 'operator', reason: 'postgres' })
  t.equal((await service.get()).status, 503)
  const left = await ask('DELETE', '/v1/maintenance')
  t.match(left.json, { mode: 'live', by: me, holders: [] })
  t.match(await service.line('maintenance-left'), { by: me, forced: false })
  t.equal((await service.get()).status, 200)
})

t.test('an end is a time from now, or on the clock', async t => {
  const before = Date.now()
  const { json } = await ask('PUT', '/v1/maintenance', { forMs: 60_000 })
  const [{ until, then, overdue }] = json?.holders as [{ until: string, then: string, overdue: boolean }]
  t.ok(Date.parse(until) >= before + 60_000 && Date.parse(until) <= Date.now() + 60_000)
  t.same({ then, overdue }, { then: 'stay', overdue: false })
  const later = await ask('PUT', '/v1/maintenance', { until: '2026-01-01T00:00:00Z' })
  t.equal(later.status, 400)
  const clock = new Date(Date.now() + 3_600_000).toISOString()
  t.match((await ask('PUT', '/v1/maintenance', { until: clock, then: 'open' })).json, { holders: [{ until: clock, then: 'open' }] })
})

t.test('entering again changes what is given, keeps the rest, and says so', async t => {
  await ask('PUT', '/v1/maintenance', { reason: 'one', message: 'first' })
  t.match((await ask('PUT', '/v1/maintenance', { message: 'second' })).json, { holders: [{ reason: 'one', message: 'second' }] })
  t.match(await service.line('maintenance-updated'), { level: 40, by: me, holder: 'operator' })
})

t.test('holders are listed, and each is given back by itself', async t => {
  await ask('PUT', '/v1/maintenance', { holder: 'a' })
  t.match((await ask('PUT', '/v1/maintenance', { holder: 'b@1' })).json, { holders: [{ name: 'a' }, { name: 'b@1' }] })
  t.match(await service.line('maintenance-joined'), { holder: 'b@1', by: me })
  t.match((await ask('DELETE', '/v1/maintenance?holder=a')).json, { mode: 'maintenance', holders: [{ name: 'b@1' }] })
  t.match(await service.line('maintenance-released'), { holder: 'a', remaining: 'b@1' })
  t.match((await ask('DELETE', '/v1/maintenance?holder=b%401')).json, { mode: 'live' })
})

for (const [what, body, problem] of [
  ['an unknown field', { mesage: 'x' }, /^mesage: unknown; expected holder, reason/],
  ['a wrong value', { forMs: '30m' }, /^forMs: expected milliseconds/],
  ['an array', [], /^expected a JSON object$/],
  ['no body', undefined, /^expected a JSON object$/],
  ['what is no JSON', '{reason: 1}', /JSON/],
  ['an empty body', '', /empty/],
  ['a poisoned prototype', '{"__proto__": {"holder": "x"}}', /./]
] as const) {
  t.test(`entering with ${what} is refused with the reason, and changes nothing`, async t => {
    const { status, json } = await ask('PUT', '/v1/maintenance', body)
    t.equal(status, 400)
    t.match(json, { error: problem })
    t.match((await ask('GET', '/v1/status')).json, { mode: 'live' })
  })
}

t.test('a huge body is refused', async t => {
  const { status, json } = await ask('PUT', '/v1/maintenance', { reason: 'x'.repeat(20_000) })
  t.equal(status, 413)
  t.match(json, { error: /large/ })
})

t.test('another content type is refused', async t => {
  t.match(await ask('PUT', '/v1/maintenance', '<on/>', 'text/xml'), { status: 415, json: { error: /media type/i } })
})

t.test('leaving with a wrong parameter is refused with the reason', async t => {
  await ask('PUT', '/v1/maintenance', {})
  t.match(await ask('DELETE', '/v1/maintenance?hodler=a'), { status: 400, json: { error: /^hodler: unknown; expected holder, force$/ } })
  t.match(await ask('DELETE', '/v1/maintenance?holder=a%20b'), { status: 400, json: { error: /^holder: expected a name/ } })
  t.match((await ask('GET', '/v1/status')).json, { mode: 'maintenance' })
})

for (const [method, path] of [
  ['POST', '/v1/maintenance'], ['PATCH', '/v1/maintenance'], ['GET', '/v1/maintenance'], ['PUT', '/v1/status'], ['DELETE', '/v1/events'],
  ['GET', '/v2/status'], ['GET', '/'], ['PUT', '/metrics']
] as const) {
  t.test(`${method} ${path} is unknown, and says what is spoken here`, async t => {
    t.match(await ask(method, path), { status: 404, json: { error: `${method} ${path}: unknown; this server speaks version 1` } })
  })
}

t.test('connections are cut in maintenance only', async t => {
  t.match(await ask('DELETE', '/v1/connections'), { status: 409, json: { error: /^not in maintenance/ } })
  await ask('PUT', '/v1/maintenance', {})
  t.match(await ask('DELETE', '/v1/connections'), { status: 200, json: { cut: 0 } })
  t.match(await service.line('connections-cut'), { by: me, cut: 0 })
})

t.test('who follows is told how things stand, and then each transition', async t => {
  const follower = new Follower(t, socket)
  t.match(await follower.line(() => true), { event: 'status', status: { mode: 'live' } })
  await ask('PUT', '/v1/maintenance', {})
  t.match(await follower.line(({ event }) => event === 'maintenance-entered'), { status: { mode: 'maintenance' } })
  t.match(await follower.line(({ event }) => event === 'maintenance-drained'), { status: { drained: true, inFlight: 0 } })
  await ask('DELETE', '/v1/maintenance')
  t.match(await follower.line(({ event }) => event === 'maintenance-left'), { status: { mode: 'live', drained: false } })
})

t.test('signals are told on the same stream, and are the same holder', async t => {
  const follower = new Follower(t, socket)
  await follower.line(() => true)
  service.send('SIGUSR1')
  t.match(await follower.line(({ event }) => event === 'maintenance-entered'), { status: { by: 'SIGUSR1', holders: [{ name: 'operator' }] } })
  await ask('PUT', '/v1/maintenance', { holder: 'migration' })
  await service.leave()
  t.match(await follower.line(({ event }) => event === 'maintenance-left'), { status: { by: 'SIGUSR2', holders: [] } })
})

t.test('when somebody has removed the socket it is there again', async t => {
  rmSync(socket)
  await service.line('control-reopened')
  t.match(await ask('GET', '/v1/status'), { status: 200 })
})
