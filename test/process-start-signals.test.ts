// Signals that reach the process while it starts: none of SIGUSR1 is lost, none opens the inspector, and one that
// ends the process leaves it in maintenance.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { constants } from 'node:os'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { fixture } from './helpers/places.ts'
import { ServiceProcess, startService } from './helpers/service.ts'

t.setTimeout(120_000)

const INSPECTOR_PORT = 9229
const STARTS = 8
// The mask in /proc/PID/status has signal n in bit n - 1.
const SIGUSR1_BIT = 1n << BigInt(constants.signals.SIGUSR1 - 1)
const needsProc = process.platform === 'linux' ? false : 'there is no /proc to see the blocked signals in'

async function isInspectorOpen (): Promise<boolean> {
  const socket = connect(INSPECTOR_PORT, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/**
 * Resolves when node has taken its option --disable-sigusr1 and holds SIGUSR1 back. Before, some milliseconds after
 * the program was executed, the signal still ends it; nothing in the program can prevent that.
 */
async function nodeHolds ({ pid }: ServiceProcess): Promise<void> {
  for (;;) {
    const blocked = /^SigBlk:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0'
    if ((BigInt(`0x${blocked}`) & SIGUSR1_BIT) !== 0n) return
    await turn()
  }
}

/** How long a start takes here and now: the moments at which to send are spread over it. */
async function measureStart (t: Parameters<typeof startService>[0]): Promise<number> {
  const before = performance.now()
  const service = await startService(t)
  service.child.kill('SIGKILL')
  return performance.now() - before
}

t.test('SIGUSR1 at any moment of the start is not lost, and opens no inspector', { skip: needsProc }, async t => {
  const startMs = await measureStart(t)
  for (let i = 0; i < STARTS; i++) {
    const service = new ServiceProcess(t)
    await nodeHolds(service)
    // Not a wait for something: the moment itself is what is tried.
    await sleep(startMs * i / STARTS)
    service.send('SIGUSR1')
    await service.line('maintenance-entered', { by: 'SIGUSR1' })
    await service.until('serving', () => service.lines.find(({ event }) => event === 'serving'))
    t.equal((await service.get()).status, 503)
    t.equal(service.record.mode, 'maintenance')
    t.notOk(await isInspectorOpen(), 'nothing listens where the inspector would')
    t.notMatch(service.stderr, /Debugger/)
    service.child.kill('SIGKILL')
    await service.ended
  }
})

t.test('many SIGUSR1 in a row from the start on end neither the process nor the start', { skip: needsProc }, async t => {
  const service = new ServiceProcess(t)
  await nodeHolds(service)
  let sent = 0
  const timer = setInterval(() => {
    service.child.kill('SIGUSR1')
    sent++
  }, 1)
  t.teardown(() => clearInterval(timer))
  await service.line('serving')
  clearInterval(timer)
  await service.line('maintenance-entered')
  t.equal((await service.get()).status, 503)
  t.notOk(await isInspectorOpen())
  t.ok(sent > 10)
})

t.test('SIGUSR2 that comes too early ends the process at worst, and the record still says maintenance', async t => {
  const service = new ServiceProcess(t, { record: 'maintenance' })
  await once(service.child, 'spawn')
  service.send('SIGUSR2')
  const early = await Promise.race([service.ended, service.line('maintenance-left').catch(() => undefined)])
  if (early !== undefined && 'signal' in early && early.signal === 'SIGUSR2') {
    t.equal(service.record.mode, 'maintenance')
    const again = await startService(t, { folder: service.folder })
    t.equal((await again.get()).status, 503)
  } else {
    t.equal(service.record.mode, 'live')
  }
})

t.test('SIGUSR2 while the application loads is kept until it serves', async t => {
  const service = new ServiceProcess(t, { record: 'maintenance', env: { APP: fixture('application.ts') } })
  await service.line('starting')
  service.send('SIGUSR2')
  await service.line('maintenance-left', { by: 'SIGUSR2' })
  await service.until('serving', () => service.lines.find(({ event }) => event === 'serving'))
  t.equal((await service.get()).status, 200)
})

t.test('SIGTERM while the service starts ends it', async t => {
  const service = new ServiceProcess(t, { env: { APP: fixture('broken.ts') } })
  await service.line('worker-died')
  service.send('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
})
