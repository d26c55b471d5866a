import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { openListener, type Listener } from '../../src/control/listener.ts'
import { duplicate } from '../../src/platform/libc.ts'
import { newFolder, type Scope } from '../helpers/places.ts'

type Address = Parameters<typeof openListener>[0]

const anyPort: Address = { host: '127.0.0.1', port: 0, hostIsDefault: false }

async function open (t: Scope, address: Address, inheritedFd?: number): Promise<Listener> {
  const listener = await openListener(address, inheritedFd)
  t.teardown(() => closeSync(listener.fd))
  return listener
}

async function listen (t: Scope, options: { port: number, host?: string } | { path: string }): Promise<Server> {
  const server = createServer(socket => socket.on('error', () => {}).end('somebody'))
  t.teardown(() => server.close())
  server.listen(options)
  await once(server, 'listening')
  return server
}

/** What a service that is started anew gets: another descriptor of a socket that goes on listening. */
function storedFd (server: Server): number {
  const fd = duplicate((server as unknown as { _handle: { fd: number } })._handle.fd)
  server.close()
  return fd
}

async function connectTo (t: Scope, target: { port: number, host: string } | { path: string }): Promise<Socket> {
  const socket = connect(target)
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

t.test('it listens, and tells where', async t => {
  const { url, port, inherited, remark } = await open(t, anyPort)
  t.equal(url, `http://127.0.0.1:${port}`)
  t.notOk(inherited)
  t.equal(remark, undefined)
  await connectTo(t, { host: '127.0.0.1', port: port ?? 0 })
})

t.test('IPv6 and IPv4 reach the default address', async t => {
  const { url, port = 0 } = await open(t, { host: '::', port: 0, hostIsDefault: true })
  t.equal(url, `http://[::]:${port}`)
  await connectTo(t, { host: '::1', port })
  await connectTo(t, { host: '127.0.0.1', port })
})

t.test('the main thread accepts nothing: connections wait for a worker', async t => {
  const { fd, port = 0 } = await open(t, anyPort)
  const client = await connectTo(t, { host: '127.0.0.1', port })
  for (let i = 0; i < 20; i++) await turn()
  const worker = createServer(socket => socket.end('a worker'))
  t.teardown(() => worker.close())
  worker.listen({ fd: duplicate(fd) })
  t.equal(String((await once(client, 'data'))[0]), 'a worker')
})

t.test('a taken port is told with its address and what to do', async t => {
  const server = await listen(t, { port: 0, host: '127.0.0.1' })
  const { port } = server.address() as AddressInfo
  await t.rejects(openListener({ ...anyPort, port }, undefined), {
    code: 'ERR_LISTEN', message: new RegExp(`http://127.0.0.1:${port}: another process listens there`)
  })
})

t.test('an address that is not of this machine is told', async t => {
  await t.rejects(openListener({ host: '192.0.2.1', port: 0, hostIsDefault: false }, undefined), {
    code: 'ERR_LISTEN', message: /192\.0\.2\.1.*no address of this machine/
  })
})

t.test('a Unix socket may be reached by everybody who may reach a port', async t => {
  const path = join(newFolder(t), 'http.sock')
  const { url, port } = await open(t, { path })
  t.equal(url, path)
  t.equal(port, undefined)
  t.equal(statSync(path).mode & 0o777, 0o666)
  await connectTo(t, { path })
})

t.test('a Unix socket on which nobody answers is replaced', async t => {
  const path = join(newFolder(t), 'http.sock')
  // Its descriptor is closed without the file being removed: as after a crash.
  const left = await openListener({ path }, undefined)
  closeSync(left.fd)
  t.ok(existsSync(path))
  await open(t, { path })
  await connectTo(t, { path })
})

t.test('a Unix socket on which somebody answers is left alone', async t => {
  const path = join(newFolder(t), 'http.sock')
  await listen(t, { path })
  await t.rejects(openListener({ path }, undefined), { code: 'ERR_LISTEN', message: /another process answers/ })
  const client = await connectTo(t, { path })
  t.equal(String((await once(client, 'data'))[0]), 'somebody')
})

t.test('a file in place of the Unix socket is left alone', async t => {
  const path = join(newFolder(t), 'precious.txt')
  writeFileSync(path, 'precious')
  await t.rejects(openListener({ path }, undefined), { code: 'ERR_LISTEN', message: /no socket/ })
  t.equal(readFileSync(path, 'utf8'), 'precious')
})

t.test('a folder in place of the Unix socket is told', async t => {
  const path = join(newFolder(t), 'folder')
  mkdirSync(path)
  await t.rejects(openListener({ path }, undefined), { code: 'ERR_LISTEN', message: new RegExp(path) })
  t.ok(statSync(path).isDirectory())
})

t.test('a symbolic link in place of the Unix socket does not remove what it leads to', async t => {
  const folder = newFolder(t)
  writeFileSync(join(folder, 'target'), 'precious')
  symlinkSync('target', join(folder, 'link'))
  await t.rejects(openListener({ path: join(folder, 'link') }, undefined), { code: 'ERR_LISTEN' })
  t.equal(readFileSync(join(folder, 'link'), 'utf8'), 'precious')
})

t.test('a Unix socket in a folder that is not there is told with its path', async t => {
  const path = join(newFolder(t), 'none', 'http.sock')
  await t.rejects(openListener({ path }, undefined), { code: 'ERR_LISTEN', message: new RegExp(path) })
})

t.test('an inherited socket at the same address is taken over, with who waits on it', async t => {
  const server = await listen(t, { port: 0, host: '127.0.0.1' })
  const { port } = server.address() as AddressInfo
  const fd = storedFd(server)
  const client = await connectTo(t, { host: '127.0.0.1', port })
  const listener = await open(t, { ...anyPort, port }, fd)
  t.match(listener, { fd, inherited: true, port })
  const worker = createServer(socket => socket.end('a worker'))
  t.teardown(() => worker.close())
  worker.listen({ fd: duplicate(listener.fd) })
  t.equal(String((await once(client, 'data'))[0]), 'a worker')
})

t.test('an inherited socket at any port is taken over where any port is asked for', async t => {
  const server = await listen(t, { port: 0, host: '127.0.0.1' })
  t.match(await open(t, anyPort, storedFd(server)), { inherited: true })
})

t.test('an inherited Unix socket is taken over', async t => {
  const path = join(newFolder(t), 'http.sock')
  const { fd } = await openListener({ path }, undefined)
  t.match(await open(t, { path }, fd), { inherited: true, url: path })
  await connectTo(t, { path })
})

t.test('an inherited Unix socket whose file is gone is not: nobody could reach it', async t => {
  const folder = newFolder(t)
  const path = join(folder, 'http.sock')
  // Closing a server of Node's own removes the file.
  const fd = storedFd(await listen(t, { path }))
  t.match(await open(t, { path }, fd), { inherited: false })
  await connectTo(t, { path })
})

t.test('an inherited socket at another port is not taken', async t => {
  const server = await listen(t, { port: 0, host: '127.0.0.1' })
  const { port } = server.address() as AddressInfo
  const fd = storedFd(server)
  t.teardown(() => { try { closeSync(fd) } catch {} })
  const free = await listen(t, { port: 0, host: '127.0.0.1' })
  const { port: wanted } = free.address() as AddressInfo
  await new Promise(resolve => free.close(resolve))
  const listener = await open(t, { ...anyPort, port: wanted }, fd)
  t.match(listener, { inherited: false, port: wanted })
  t.not(listener.port, port)
})

t.test('an inherited socket at the same port of another address does not stand in the way', async t => {
  const server = await listen(t, { port: 0, host: '::' })
  const { port } = server.address() as AddressInfo
  const fd = storedFd(server)
  t.teardown(() => { try { closeSync(fd) } catch {} })
  t.match(await open(t, { ...anyPort, port }, fd), { inherited: false, url: `http://127.0.0.1:${port}` })
})

t.test('an inherited socket at the same address, written otherwise, is taken over', async t => {
  const server = await listen(t, { port: 0, host: '::1' })
  const { port } = server.address() as AddressInfo
  t.match(await open(t, { host: '0:0:0:0:0:0:0:1', port, hostIsDefault: false }, storedFd(server)), { inherited: true })
})

t.test('an inherited descriptor that is no socket is not taken', async t => {
  const fd = openSync('/dev/null', 'r')
  t.teardown(() => { try { closeSync(fd) } catch {} })
  t.match(await open(t, anyPort, fd), { inherited: false })
})
