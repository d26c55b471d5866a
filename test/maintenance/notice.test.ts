// What refused requests are told of the message and of the end: on the page, as JSON, and in Retry-After.

import { createServer } from 'node:http'
import { mock } from 'node:test'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { NOTICE_MARK, Refusal, type Notice } from '../../src/maintenance/responses.ts'
import { ask, Connection, listen, type Answer } from '../helpers/http.ts'

const START = Date.UTC(2026, 0, 1, 12, 0, 30)
const SECOND = 1000
const MINUTE = 60 * SECOND
const marked = Buffer.from(`<!doctype html><title>Grüße</title>${NOTICE_MARK}<p>the rest`)

t.beforeEach(() => mock.timers.enable({ apis: ['Date'], now: START }))
t.afterEach(() => {
  mock.timers.reset()
  mock.restoreAll()
})

function jitter (part: number): void {
  mock.method(Math, 'random', () => part)
}

async function open (t: Test, notice: Partial<Notice>): Promise<(accept?: string) => Promise<Answer>> {
  const refusal = new Refusal({ page: marked, retryAfterSeconds: 120, ...notice })
  const server = createServer((request, response) => refusal.send(request, response))
  server.on('upgrade', (request, socket) => refusal.sendRaw(request, socket))
  const port = await listen(t, server)
  return async (accept = 'text/html') => await ask(port, '/', { headers: { Accept: accept } })
}

async function retryAfter (get: (accept?: string) => Promise<Answer>): Promise<number> {
  return Number((await get()).headers['retry-after'])
}

t.test('without a message and an end the mark is gone, and nothing stands in its place', async t => {
  const get = await open(t, {})
  t.equal((await get()).body, '<!doctype html><title>Grüße</title><p>the rest')
})

t.test('a message stands where the mark was', async t => {
  const get = await open(t, { message: 'We are moving house.' })
  const { body, headers } = await get()
  t.equal(body, '<!doctype html><title>Grüße</title><p class="message">We are moving house.</p><p>the rest')
  t.equal(headers['content-length'], String(Buffer.byteLength(body)))
})

t.test('only the first mark is one', async t => {
  const get = await open(t, { page: Buffer.from(`${NOTICE_MARK}|${NOTICE_MARK}`), message: 'once' })
  t.equal((await get()).body, `<p class="message">once</p>|${NOTICE_MARK}`)
})

t.test('a page without the mark stays as it is, byte for byte', async t => {
  const page = Buffer.from([...Buffer.from('<p>'), 0xff, 0x00, 0xe9, ...Buffer.from('<!-- maintenance:notic -->')])
  const refusal = new Refusal({ page, retryAfterSeconds: 1, message: 'not here', endsAtMs: START + MINUTE })
  const port = await listen(t, createServer((request, response) => refusal.send(request, response)))
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Connection: close')
  await client.end()
  t.same(Buffer.from(client.received.split('\r\n\r\n')[1] ?? '', 'latin1'), page)
})

t.test('whatever a message holds, it is text and nothing else', async t => {
  await fc.assert(fc.asyncProperty(fc.string({ unit: fc.constantFrom('<', '>', '&', '"', "'", 'a', '`', '$&', '$1', 'ü', '😀', '</p>', '<!--') }), async message => {
    const refusal = new Refusal({ page: marked, retryAfterSeconds: 1, message })
    let sent = ''
    refusal.send({ headers: {} } as never, { writeHead () {}, end (body: Buffer) { sent = body.toString() } } as never)
    const [, shown] = /<p class="message">(.*)<\/p><p>the rest/.exec(sent) ?? []
    const entities: Readonly<Record<string, string>> = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' }
    return shown !== undefined && !/[<>"']/.test(shown) && shown.replace(/&(lt|gt|quot|#39|amp);/g, entity => entities[entity] ?? '') === message
  }), { numRuns: 500 })
  t.pass('it holds')
})

t.test('JSON holds the message and the end, as they are', async t => {
  const get = await open(t, { message: 'a < b & "c"', endsAtMs: START + 30 * MINUTE })
  t.match(JSON.parse((await get('application/json')).body), { status: 503, detail: 'a < b & "c"', until: '2026-01-01T12:30:30.000Z' })
  const plain = await open(t, {})
  t.same(JSON.parse((await plain('application/json')).body), { type: 'about:blank', title: 'Service Unavailable', status: 503, detail: 'Down for maintenance.' })
})

for (const [inMs, words] of [
  [1, 'a minute'], [MINUTE, 'a minute'], [MINUTE + 1, '2 minutes'], [30 * MINUTE, '30 minutes'], [119 * MINUTE, '119 minutes'],
  [120 * MINUTE, '2 hours'], [150 * MINUTE, '3 hours'], [47 * 60 * MINUTE, '47 hours'], [48 * 60 * MINUTE, '2 days']
] as const) {
  t.test(`an end in ${inMs} ms is in about ${words}`, async t => {
    const get = await open(t, { endsAtMs: START + inMs })
    t.match((await get()).body, `, in about ${words}.</p>`)
  })
}

t.test('the end is told with its time, and with its day where that is another', async t => {
  const today = await open(t, { endsAtMs: START + 30 * MINUTE })
  t.match((await today()).body, '<p class="end">We expect to be back at <time datetime="2026-01-01T12:30:30.000Z">12:30 UTC</time>, in about 30 minutes.</p>')
  const tomorrow = await open(t, { endsAtMs: START + 24 * 60 * MINUTE })
  t.match((await tomorrow()).body, '>12:00 UTC on 2026-01-02</time>')
})

t.test('the page is made anew with the minute, and not with each request', async t => {
  const get = await open(t, { endsAtMs: START + 10 * MINUTE })
  t.match((await get()).body, 'in about 10 minutes')
  mock.timers.setTime(START + 29 * SECOND)
  t.match((await get()).body, 'in about 10 minutes')
  mock.timers.setTime(START + 90 * SECOND)
  t.match((await get()).body, 'in about 9 minutes')
  // A clock that is set back is a minute like any other.
  mock.timers.setTime(START)
  t.match((await get()).body, 'in about 10 minutes')
})

t.test('Retry-After counts down to the end', async t => {
  jitter(0)
  const get = await open(t, { endsAtMs: START + 10 * MINUTE })
  t.equal(await retryAfter(get), 600)
  mock.timers.setTime(START + 59 * SECOND)
  t.equal(await retryAfter(get), 541)
  mock.timers.setTime(START + 59 * SECOND + 1)
  t.equal(await retryAfter(get), 541, 'nobody is asked back before the end')
})

t.test('Retry-After is the same for JSON and for upgrades', async t => {
  jitter(0)
  const refusal = new Refusal({ page: marked, retryAfterSeconds: 120, endsAtMs: START + 10 * MINUTE })
  const server = createServer((request, response) => refusal.send(request, response))
  server.on('upgrade', (request, socket) => refusal.sendRaw(request, socket))
  const port = await listen(t, server)
  t.equal((await ask(port, '/', { headers: { Accept: 'application/json' } })).headers['retry-after'], '600')
  const client = await Connection.open(t, port)
  client.ask('GET /', 'Connection: Upgrade', 'Upgrade: websocket')
  await client.end()
  t.match(client.received, '\r\nRetry-After: 600\r\n')
})

t.test('near the end nobody is asked back sooner than in ten seconds', async t => {
  jitter(0)
  const get = await open(t, { endsAtMs: START + 3 * SECOND })
  t.equal(await retryAfter(get), 10)
})

t.test('those who come back are spread: by a tenth of the time, at least ten seconds and at most a minute', async t => {
  for (const [leftSeconds, spread] of [[5, 10], [60, 10], [300, 30], [600, 60], [86_400, 60]] as const) {
    const get = await open(t, { endsAtMs: START + leftSeconds * SECOND })
    const least = Math.max(10, leftSeconds)
    jitter(0)
    t.equal(await retryAfter(get), least)
    mock.restoreAll()
    jitter(0.999_999)
    t.equal(await retryAfter(get), least + spread - 1, `with ${leftSeconds} s left`)
    mock.restoreAll()
  }
})

t.test('once the end has passed it is as if none were known: on the page, and in Retry-After', async t => {
  const get = await open(t, { message: 'Back soon', endsAtMs: START + 30 * SECOND })
  t.match((await get()).body, 'We expect to be back')
  mock.timers.setTime(START + 30 * SECOND)
  const { body, headers } = await get()
  t.equal(headers['retry-after'], '120')
  t.match(body, 'Back soon')
  t.notMatch(body, 'We expect')
})

t.test('without an end Retry-After is what was configured', async t => {
  const get = await open(t, { retryAfterSeconds: 7 })
  t.equal(await retryAfter(get), 7)
})
