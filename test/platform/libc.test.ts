import { spawnSync } from 'node:child_process'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { duplicate, peerOf } from '../../src/platform/libc.ts'
import { newFolder, root } from '../helpers/places.ts'

t.test('a duplicate stays open when the first is closed', async t => {
  const fd = openSync('/dev/null', 'r')
  const copy = duplicate(fd)
  t.teardown(() => closeSync(copy))
  t.not(copy, fd)
  const { dev, ino } = fstatSync(fd)
  closeSync(fd)
  t.match(fstatSync(copy), { dev, ino })
})

t.test('duplicating what is no descriptor throws, and names it', async t => {
  t.throws(() => duplicate(-1), { message: /fcntl\(-1, F_DUPFD_CLOEXEC\) failed: errno \d+/ })
})

t.test('the other end of a Unix socket is known by process and user', {
  skip: process.platform !== 'linux' && 'only Linux tells'
}, async t => {
  const path = join(newFolder(t), 'socket')
  const server = createServer().listen(path)
  t.teardown(() => server.close())
  await once(server, 'listening')
  const client = connect(path)
  t.teardown(() => client.destroy())
  const [socket] = await once(server, 'connection')
  t.teardown(() => socket.destroy())
  const { uid, username } = userInfo()
  t.match(peerOf(socket._handle.fd), { pid: process.pid, uid, user: username })
})

t.test('node --disable-sigusr1 holds SIGUSR1 back until it is let through, and then delivers it', async t => {
  const script = `
    const { unblockSignal } = await import('./src/platform/libc.ts')
    let came = 0
    process.on('SIGUSR1', () => { came++; console.log('came'); clearTimeout(late) })
    process.kill(process.pid, 'SIGUSR1')
    const before = await new Promise(resolve => setImmediate(() => setImmediate(() => resolve(came))))
    console.log('before', before)
    const late = setTimeout(() => console.log('never came'), 20_000)
    unblockSignal('SIGUSR1')`
  const { stdout, stderr, status } = spawnSync(process.execPath,
    ['--disable-sigusr1', '--input-type=module', '-e', script], { encoding: 'utf8', cwd: root })
  t.same({ stdout, stderr, status }, { stdout: 'before 0\ncame\n', stderr: '', status: 0 })
})
