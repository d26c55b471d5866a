import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import { connectSystemd, inheritedFds, type Systemd } from '../../src/platform/systemd.ts'
import { hasDatagrams, NotifySocket } from '../helpers/notify-socket.ts'
import type { Scope } from '../helpers/places.ts'

const skip = !hasDatagrams && 'only on Linux'

function connect (t: Scope): { notify: NotifySocket, systemd: Systemd } {
  const notify = new NotifySocket(t)
  return { notify, systemd: connectSystemd({ NOTIFY_SOCKET: notify.path }, process.pid) }
}

t.test('without a service manager every call does nothing', async t => {
  const systemd = connectSystemd({}, process.pid)
  t.equal(systemd.managed, false)
  t.equal(systemd.watchdogPingMs, undefined)
  // There is nobody who has not heard.
  t.ok(systemd.notify({ READY: 1 }))
  t.ok(systemd.store('listen', 0))
  t.ok(systemd.unstore('listen'))
  t.equal(systemd.journal({ MESSAGE: 'to nobody' }), false)
})

t.test('what is notified reaches the service manager, one assignment a line', { skip }, async t => {
  const { notify, systemd } = connect(t)
  t.equal(systemd.managed, true)
  systemd.notify({ READY: 1, STATUS: 'live' })
  await notify.until(() => notify.received.length > 0)
  t.same(notify.received, [{ READY: '1', STATUS: 'live' }])
})

t.test('a status of two lines stays one assignment', { skip }, async t => {
  const { notify, systemd } = connect(t)
  systemd.notify({ STATUS: 'live\nREADY=1' })
  await notify.until(() => notify.received.length > 0)
  t.same(notify.received, [{ STATUS: 'live READY=1' }])
})

t.test('a descriptor is stored under its name, to be kept whatever poll says, and taken out again', { skip }, async t => {
  const { notify, systemd } = connect(t)
  const fd = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(fd))
  systemd.store('listen', fd)
  systemd.unstore('listen')
  await notify.until(() => notify.received.length > 1)
  t.same(notify.received, [{ FDSTORE: '1', FDNAME: 'listen', FDPOLL: '0' }, { FDSTOREREMOVE: '1', FDNAME: 'listen' }])
})

t.test('the watchdog is told twice in its interval, if it is meant for this process', { skip }, async t => {
  const env = { NOTIFY_SOCKET: '/nowhere', WATCHDOG_USEC: '10000000' }
  t.equal(connectSystemd(env, 7).watchdogPingMs, 5000)
  t.equal(connectSystemd({ ...env, WATCHDOG_PID: '7' }, 7).watchdogPingMs, 5000)
  t.equal(connectSystemd({ ...env, WATCHDOG_PID: '8' }, 7).watchdogPingMs, undefined)
  t.equal(connectSystemd({ NOTIFY_SOCKET: '/nowhere' }, 7).watchdogPingMs, undefined)
})

t.test('inherited descriptors are known by name, from 3 on', async t => {
  const env = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'listen:maintenance' }
  t.same([...inheritedFds(env, 7)], [['listen', 3], ['maintenance', 4]])
})

t.test('descriptors that were handed to another process are not taken', async t => {
  t.equal(inheritedFds({ LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'listen' }, 7).size, 0)
  t.equal(inheritedFds({}, 7).size, 0)
})
