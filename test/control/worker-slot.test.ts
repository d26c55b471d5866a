// One place in the pool, with a thread that does what a test says, and a worker whose heart beats when a test wants it.

import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import { WorkerSlot, type WorkerEvent } from '../../src/control/worker-slot.ts'
import type { ThreadEvents, WorkerThread } from '../../src/control/worker-thread.ts'
import { allocateSwitch, Gate, Switch } from '../../src/maintenance/switch.ts'
import type { ToWorker } from '../../src/worker-protocol.ts'
import type { Scope } from '../helpers/places.ts'
import { workerData } from '../helpers/worker-data.ts'

const STUCK_TIMEOUT_MS = 30_000
const GRACE_MS = 5_000

class Placed {
  readonly slot: WorkerSlot
  readonly events: WorkerEvent[] = []
  readonly told: ToWorker[] = []
  readonly gate: Gate
  readonly startMs = performance.now()
  /** Where no thread can be made. */
  failure: Error | undefined
  thread!: ThreadEvents
  started = 0
  /** What the thread was ended for, each time. */
  readonly terminated: unknown[] = []
  changes = 0

  constructor (t: Scope) {
    const theSwitch = new Switch(allocateSwitch(1))
    this.gate = new Gate(theSwitch.memory, 0)
    const fds: number[] = []
    this.slot = new WorkerSlot('application', 0, {
      switch: theSwitch,
      stuckTimeoutMs: STUCK_TIMEOUT_MS,
      workerData: () => workerData(),
      duplicateListener: () => {
        const fd = openSync('/dev/null', 'r')
        fds.push(fd)
        this.gate.adopt()
        return fd
      },
      report: event => this.events.push(event),
      changed: () => { this.changes++ },
      startThread: (_data, events): WorkerThread => {
        this.started++
        if (this.failure !== undefined) throw this.failure
        this.thread = events
        return {
          tell: message => this.told.push(message),
          ask: async () => undefined,
          terminate: reason => this.terminated.push(reason)
        }
      }
    })
    t.teardown(() => {
      this.slot.deaths.cancelRetry()
      for (const fd of fds) closeSync(fd)
    })
  }

  /** So long after the start. */
  feelAt (ms: number): void {
    this.slot.feel(this.startMs + ms)
  }

  serve (): void {
    this.slot.start()
    this.thread.ready()
    this.thread.serving()
  }

  names (): string[] {
    return this.events.map(({ event }) => event)
  }
}

/** One that serves and has been silent for so long that it is stuck. */
function stuck (t: Scope): Placed {
  const it = new Placed(t)
  it.serve()
  it.feelAt(0)
  it.feelAt(4_000)
  return it
}

t.test('a silent worker is stuck until it beats again', async t => {
  const it = stuck(t)
  t.equal(it.slot.state, 'stuck')
  it.feelAt(5_000)
  t.equal(it.slot.state, 'stuck')
  it.gate.beat(0)
  it.feelAt(5_500)
  t.equal(it.slot.state, 'serving')
  t.same(it.names(), ['worker-serving', 'worker-stuck', 'worker-recovered'])
})

t.test('that the process was asleep does not make a stuck worker well, nor its silence longer', async t => {
  const it = stuck(t)
  it.slot.wasAsleep(60_000)
  it.feelAt(64_500)
  t.equal(it.slot.state, 'stuck')
  // However much of its silence is excused.
  it.slot.wasAsleep(60_000)
  it.feelAt(65_000)
  t.equal(it.slot.state, 'stuck')
  t.same(it.names(), ['worker-serving', 'worker-stuck'])
})

t.test('that the process was asleep does not make a worker that serves stuck', async t => {
  const it = new Placed(t)
  it.serve()
  it.feelAt(0)
  it.slot.wasAsleep(60_000)
  it.feelAt(60_500)
  t.equal(it.slot.state, 'serving')
})

t.test('a worker that is given up is never well again, whatever of it still beats, and is ended once', async t => {
  const it = stuck(t)
  it.feelAt(STUCK_TIMEOUT_MS)
  t.match(it.terminated, [{ message: /had not answered for 3\d{4} ms/ }])
  it.feelAt(STUCK_TIMEOUT_MS + 500)
  it.gate.beat(0)
  it.feelAt(STUCK_TIMEOUT_MS + 1_000)
  it.feelAt(3 * STUCK_TIMEOUT_MS)
  t.equal(it.slot.state, 'stuck')
  t.equal(it.terminated.length, 1)
  t.same(it.names(), ['worker-serving', 'worker-stuck', 'worker-replaced'])
})

t.test('a worker that hung while it loaded and was given up gets no socket', async t => {
  const it = new Placed(t)
  it.slot.start()
  it.feelAt(0)
  it.feelAt(STUCK_TIMEOUT_MS)
  it.thread.ready()
  it.thread.serving()
  t.same(it.told, [])
  t.equal(it.slot.state, 'loading')
})

t.test('a thread that cannot be made is a death, and is tried again', async t => {
  const it = new Placed(t)
  it.failure = new Error('EAGAIN')
  it.slot.start()
  t.match(it.events, [{ event: 'worker-died', retryMs: 0, err: { message: 'EAGAIN' } }])
  t.equal(it.slot.state, 'down')
  t.ok(it.slot.isEmpty)
  t.ok(it.slot.deaths.isRetrying)
  t.equal(it.changes, 1)
  it.slot.start()
  t.match(it.slot.deaths, { inRow: 2, total: 2, lastError: it.failure })
  it.failure = undefined
  it.serve()
  t.equal(it.slot.state, 'serving')
})

t.test('one that is closed before it has the socket never gets it', async t => {
  const it = new Placed(t)
  it.slot.start()
  it.slot.close(GRACE_MS)
  t.equal(it.terminated.length, 1)
  it.thread.ready()
  t.same(it.told, [])
  it.thread.ended(undefined)
  t.notOk(it.slot.deaths.isRetrying)
})

t.test('one that is closed when it has the socket, and may have accepted somebody, finishes', async t => {
  const it = new Placed(t)
  it.slot.start()
  it.thread.ready()
  it.slot.close(GRACE_MS)
  t.match(it.told, [{ type: 'listen' }, { type: 'close', graceMs: GRACE_MS }])
  t.same(it.terminated, [])
})

t.test('one that is closed is not tried again', async t => {
  const it = new Placed(t)
  it.slot.start()
  it.thread.ended(new Error('the database is down'))
  t.ok(it.slot.deaths.isRetrying)
  it.slot.close(GRACE_MS)
  t.notOk(it.slot.deaths.isRetrying)
})
