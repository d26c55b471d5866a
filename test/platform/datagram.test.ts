import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { openDatagrams } from '../../src/platform/datagram.ts'
import { connectSystemd, entryOf } from '../../src/platform/systemd.ts'
import { hasDatagrams, NotifySocket, StalledSocket } from '../helpers/notify-socket.ts'
import { root } from '../helpers/places.ts'

t.test('there is one socket, however often it is asked for', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  t.equal(openDatagrams(), openDatagrams())
})

t.test('a message arrives, and where nobody listens it is said', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  const send = openDatagrams()
  const notify = new NotifySocket(t)
  t.ok(send(notify.path, Buffer.from('A=1')))
  await notify.until(() => notify.received.length > 0)
  t.same(notify.received, [{ A: '1' }])
  t.notOk(send(`${notify.path}-not`, Buffer.from('A=1')))
})

t.test('whoever does not read is not waited for', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  const { path } = new StalledSocket(t)
  const systemd = connectSystemd({ NOTIFY_SOCKET: path }, process.pid)
  // It ends at all: that is what is tested.
  for (let taken = true; taken;) taken = systemd.notify({ STATUS: 'live' })
  t.notOk(systemd.store('maintenance', 0))
})

t.test('who has nothing else to do waits until everything was taken', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  const notify = new NotifySocket(t)
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    const { connectSystemd } = await import('./src/platform/systemd.ts')
    const systemd = connectSystemd({ NOTIFY_SOCKET: process.argv[1] }, 1, { waits: true })
    for (let i = 1; i <= 2000; i++) if (!systemd.notify({ STATUS: i })) process.exit(1)`, notify.path], { cwd: root, stdio: 'inherit' })
  t.same(await once(child, 'exit'), [0, null])
  await notify.until(() => notify.received.length === 2000)
})

t.test('the manager is told when no descriptor is left', { skip: !hasDatagrams && 'only on Linux' }, async t => {
  const notify = new NotifySocket(t)
  const { stdout } = spawnSync('prlimit', ['--nofile=64:64', process.execPath, '--input-type=module', '-e', `
    const { connectSystemd } = await import('./src/platform/systemd.ts')
    const { openSync } = await import('node:fs')
    const systemd = connectSystemd({ NOTIFY_SOCKET: process.argv[1] }, 1)
    const fd = openSync('/dev/null')
    try { for (;;) openSync('/dev/null') } catch {}
    console.log(systemd.notify({ STATUS: 'full' }), systemd.store('maintenance', fd), systemd.unstore('maintenance'))`, notify.path],
  { encoding: 'utf8', cwd: root })
  // The test runner's own part of the process complains that it cannot write.
  t.equal(stdout, 'true true true\n')
  await notify.until(() => notify.received.length === 3)
})

t.test('an entry has one field a line, and one of several lines after its length', async t => {
  t.equal(entryOf({ MESSAGE: 'é', PRIORITY: 6, LONG: 'a\nb' }).toString('latin1'),
    Buffer.from('MESSAGE=é\nPRIORITY=6\nLONG\n\x03\0\0\0\0\0\0\0a\nb\n').toString('latin1'))
})
