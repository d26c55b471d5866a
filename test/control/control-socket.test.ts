// The control socket as a file: who may connect, what is replaced, what is kept.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import t from 'tap'
import { openControlSocket, type ControlPorts } from '../../src/control/control-socket.ts'
import { STOPPING, type Status } from '../../src/control/protocol.ts'
import { call, Follower } from '../helpers/call.ts'
import { newFolder, type Scope } from '../helpers/places.ts'
import { ServiceProcess, startService } from '../helpers/service.ts'

t.setTimeout(120_000)

function socketOf ({ folder }: ServiceProcess): string {
  return join(folder, 'run/control.sock')
}

/** Ports that know nothing. */
function ports (more: Partial<ControlPorts> = {}): ControlPorts {
  return {
    status: async () => ({ mode: 'live' }) as Status,
    enter: () => 'entered',
    leave: async () => undefined,
    cut: async () => 0,
    follow: () => () => {},
    metrics: async () => ({ type: 'text/plain', text: '' }),
    caller: () => 'test',
    logger: pino({ level: 'silent' }),
    ...more
  }
}

function modeOf (path: string): string {
  return (statSync(path).mode & 0o7777).toString(8)
}

/** A socket file on which nobody answers any more. */
async function leaveStale (t: Scope, folder: string): Promise<void> {
  const service = await startService(t, { folder })
  service.child.kill('SIGKILL')
  await service.ended
}

t.test('the socket is for owner and group from the moment at which it appears', async t => {
  const path = join(newFolder(t), 'control.sock')
  const seen: string[] = []
  const before = process.umask(0)
  t.teardown(() => process.umask(before))
  const socket = await openControlSocket(path, ports(), mask => {
    // The second time is right after bind(): what the file is then it was from the start.
    if (mask === 0) seen.push(modeOf(path))
    return process.umask(mask)
  })
  t.same(seen, ['660'])
  t.equal(process.umask(), 0, 'the umask is as it was')
  t.equal(modeOf(path), '660', 'nobody has changed it since')
  await socket.close()
})

t.test('the umask is as it was where the socket cannot be opened, too', async t => {
  const before = process.umask()
  await t.rejects(openControlSocket(join(newFolder(t), 'missing/control.sock'), ports(), mask => process.umask(mask)), {
    code: 'ERR_LISTEN', message: /missing\/control\.sock/
  })
  t.equal(process.umask(), before)
})

t.test('a service whose umask allows everything opens it for owner and group, and keeps others out of its folder', async t => {
  const service = await startService(t, { through: ['sh', '-c', 'umask 0; exec "$@"', 'sh'] })
  t.equal(modeOf(socketOf(service)), '660')
  t.equal(modeOf(join(service.folder, 'run')), '750')
  t.match(readFileSync(`/proc/${service.pid}/status`, 'utf8'), /^Umask:\t0000$/m)
})

t.test('a stale socket is replaced', async t => {
  const folder = newFolder(t)
  await leaveStale(t, folder)
  t.ok(statSync(join(folder, 'run/control.sock')).isSocket())
  const service = await startService(t, { folder })
  t.same(service.linesOf('control-failed'), [])
  t.equal((await call(socketOf(service), 'GET', '/v1/status')).status, 200)
})

t.test('a live socket is never replaced: the second service says so, and serves all the same', async t => {
  const first = await startService(t)
  const second = await startService(t, { env: { RUNTIME_DIRECTORY: join(first.folder, 'run') } })
  t.match(second.linesOf('control-failed'), [{ level: 50, err: { message: /control\.sock: another process answers on it/ } }])
  t.equal((await second.get()).status, 200)
  await call(socketOf(first), 'PUT', '/v1/maintenance', {})
  await first.line('maintenance-entered')
  second.child.kill('SIGTERM')
  await second.ended
  t.equal((await call(socketOf(first), 'GET', '/v1/status')).status, 200, 'the end of the second does not take it away')
})

t.test('without a control socket signals work', async t => {
  const folder = newFolder(t)
  writeFileSync(join(folder, 'run'), 'in the way')
  const service = await startService(t, { folder })
  t.equal(service.linesOf('control-failed').length, 1)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
})

t.test('the longest path works, and one byte more is a wrong configuration', async t => {
  const folder = newFolder(t)
  const directory = join(folder, 'r'.repeat(107 - '/control.sock'.length - folder.length - 1))
  const service = await startService(t, { env: { RUNTIME_DIRECTORY: directory } })
  t.equal((await call(join(directory, 'control.sock'), 'GET', '/v1/status')).status, 200)
  service.child.kill('SIGKILL')
  const tooLong = new ServiceProcess(t, { env: { RUNTIME_DIRECTORY: `${directory}r` } })
  t.equal((await tooLong.ended).code, 78)
  t.match(tooLong.stderr, /RUNTIME_DIRECTORY: the control socket \S+r\/control\.sock is 108 bytes long; a Unix socket's path has at most 107/)
})

t.test('a service that stops takes its socket away, and ends followers with it', async t => {
  const service = await startService(t)
  const follower = new Follower(t, socketOf(service))
  await follower.line(({ event }) => event === 'status')
  service.child.kill('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
  await follower.ended
  t.throws(() => statSync(socketOf(service)), { code: 'ENOENT' })
})

t.test('a follower that goes away is followed no more', async t => {
  const path = join(newFolder(t), 'control.sock')
  const stopped = Promise.withResolvers<void>()
  const socket = await openControlSocket(path, ports({
    follow (listener) {
      listener({ event: 'status', status: { mode: 'live' } as Status })
      return stopped.resolve
    }
  }), mask => process.umask(mask))
  t.teardown(() => socket.close())
  const follower = new Follower(t, path)
  await follower.line(() => true)
  follower.request.destroy()
  await stopped.promise
})

t.test('a follower that goes away before it is told anything leaves nothing behind', async t => {
  const path = join(newFolder(t), 'control.sock')
  const asked = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<void>()
  const socket = await openControlSocket(path, ports({
    follow () {
      asked.resolve()
      return stopped.resolve
    }
  }), mask => process.umask(mask))
  t.teardown(() => socket.close())
  const follower = new Follower(t, path)
  await asked.promise
  follower.request.destroy()
  await stopped.promise
})

t.test('leaving that is refused because the process ends is another answer than any other refusal', async t => {
  const path = join(newFolder(t), 'control.sock')
  let why: string = STOPPING
  const socket = await openControlSocket(path, ports({ leave: async () => why }), mask => process.umask(mask))
  t.teardown(() => socket.close())
  t.match(await call(path, 'DELETE', '/v1/maintenance'), { status: 503, json: { error: STOPPING } })
  why = 'the reopening check failed'
  t.match(await call(path, 'DELETE', '/v1/maintenance'), { status: 409, json: { error: why } })
})

t.test('a follower that does not read is told how things stand when it does, and nothing piles up', async t => {
  const path = join(newFolder(t), 'control.sock')
  let tell = (_inFlight: number): void => {}
  let inFlight = 0
  const following = Promise.withResolvers<void>()
  const socket = await openControlSocket(path, ports({
    follow (listener) {
      listener({ event: 'status', status: { version: 'x'.repeat(1000), inFlight } as Status })
      tell = now => {
        inFlight = now
        listener({ event: 'status', status: { version: 'x'.repeat(1000), inFlight } as Status })
      }
      following.resolve()
      return () => {}
    }
  }), mask => process.umask(mask))
  t.teardown(() => socket.close())
  const follower = new Follower(t, path)
  follower.request.prependOnceListener('response', response => response.pause())
  await following.promise
  const MANY = 20_000
  for (let i = 1; i <= MANY; i++) tell(i)
  await follower.line(({ status }) => status.inFlight === MANY)
  t.ok(follower.lines.length < MANY / 10, `${follower.lines.length} of ${MANY} lines`)
})

t.test('what it knows is not served to the public', async t => {
  const service = await startService(t)
  for (const path of ['/v1/status', '/v1/events', '/metrics']) t.equal((await service.get(path)).status, 404)
})
