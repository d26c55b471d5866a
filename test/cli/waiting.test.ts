import t from 'tap'
import type { Client } from '../../src/cli/client.ts'
import type { Terminal } from '../../src/cli/command.ts'
import { Failure } from '../../src/cli/failure.ts'
import { waitFor } from '../../src/cli/waiting.ts'
import type { Status } from '../../src/control/protocol.ts'

const busy: Status = {
  version: '1.2.3',
  mode: 'maintenance',
  since: '2026-01-01T00:00:00Z',
  by: 'test',
  drained: false,
  inFlight: 5,
  refused: 0,
  durable: true,
  recorded: true,
  leaving: false,
  holders: [{ name: 'mine', by: 'test', since: '2026-01-01T00:00:00Z', overdue: false }],
  workers: [],
  stragglers: []
}
const drained: Status = { ...busy, inFlight: 0, drained: true }

/** A service of which is heard what is given, and that then says nothing more; at the end its status is asked. */
function clientOf (heard: ReadonlyArray<Status | 'away'>, status: () => Promise<Status>): Client {
  return {
    status,
    async * follow (signal: AbortSignal) {
      yield * heard
      if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
    }
  } as unknown as Client
}

class Shown {
  readonly out: string[] = []
  readonly heads: Array<readonly string[] | undefined> = []
  readonly interrupt = new AbortController()
  readonly terminal = {
    out: (text: string) => this.out.push(text),
    redraw: (view: { head: readonly string[] } | undefined) => this.heads.push(view?.head),
    interrupted: this.interrupt.signal
  } as unknown as Terminal
}

const unasked = async (): Promise<Status> => { throw new Error('nobody asks') }
const mute = async (): Promise<Status> => { throw new Failure('lost', 'it does not answer') }

t.test('progress counts from what was in flight when it was asked for, though it was less when it was followed', async t => {
  const shown = new Shown()
  const client = clientOf([{ ...busy, inFlight: 2 }, drained], unasked)
  t.equal(await waitFor({ until: 'drained', timeoutMs: undefined, json: false, heard: busy }, client, shown.terminal), drained)
  t.match(shown.heads, [[/ 5 of 5 left$/], [/ 2 of 5 left$/], undefined])
})

t.test('what has come just at the timeout has come', async t => {
  const client = clientOf([busy], async () => drained)
  t.equal(await waitFor({ until: 'drained', timeoutMs: 1, json: true }, client, new Shown().terminal), drained)
})

t.test('at the timeout of a service that does not answer what was heard last is told', async t => {
  const shown = new Shown()
  const waiting = waitFor({ until: 'drained', timeoutMs: 1, json: true }, clientOf([busy], mute), shown.terminal)
  await t.rejects(waiting, { kind: 'timeout', message: 'not drained in time; the service does not answer; when it was last heard of, maintenance stays on, 5 in flight' })
  t.same(shown.out, [JSON.stringify(busy)])
})

t.test('of one that was never heard of nothing is told', async t => {
  const shown = new Shown()
  await t.rejects(waitFor({ until: 'drained', timeoutMs: 1, json: true }, clientOf([], mute), shown.terminal), { code: 3, message: 'it does not answer' })
  t.same(shown.out, [])
})

t.test('one that is away at the timeout cannot be reached', async t => {
  await t.rejects(waitFor({ until: 'drained', timeoutMs: 1, json: false }, clientOf([busy, 'away'], mute), new Shown().terminal), { code: 3 })
})

for (const [what, heard, message] of [
  ['before anything was heard', [], 'stopped waiting for a service that was not heard of yet; how things stand: myserverctl status'],
  ['in maintenance', [busy], 'stopped waiting. Maintenance stays on; to leave it: myserverctl off'],
  ['while live', [{ ...drained, mode: 'live' }], 'stopped waiting. The service is live.'],
  ['while it is away', [busy, 'away'], 'stopped waiting. The service is away; maintenance stays on through restarts; to leave it: myserverctl off']
] as const) {
  t.test(`Ctrl-C ${what} claims no more than was heard`, async t => {
    const shown = new Shown()
    const waiting = waitFor({ until: 'drained', timeoutMs: undefined, json: true }, clientOf(heard, unasked), {
      ...shown.terminal, err: () => {}
    })
    setImmediate(() => shown.interrupt.abort())
    await t.rejects(waiting, { code: 130, message })
  })
}

t.test('a claim that has ended is another failure than a timeout', async t => {
  const client = clientOf([busy, { ...busy, holders: [] }], unasked)
  await t.rejects(waitFor({ until: 'drained', holder: 'mine', timeoutMs: undefined, json: true }, client, new Shown().terminal), { kind: 'refused', code: 1 })
})
