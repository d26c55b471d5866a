// The listening socket: opened once, kept by the main thread, and duplicated for each worker. The main thread
// accepts nothing on it. After a restart it is taken over from systemd's file descriptor store.

import { chmodSync, closeSync, existsSync, linkSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { createServer, connect, isIPv6, SocketAddress, type AddressInfo, type ListenOptions, type Server } from 'node:net'
import type { Address } from '../config.ts'
import { ServiceError, messageOf } from '../errors.ts'
import { duplicate, stopListening, unixPathOf } from '../platform/libc.ts'
import { BACKLOG } from '../worker-protocol.ts'

export interface Listener {
  /** The socket; it lives as long as the process. */
  readonly fd: number
  /** Where it listens, for people: `http://[::]:17990` or the path of a Unix socket. */
  readonly url: string
  readonly port: number | undefined
  /** Whether it was taken over, so that no connection was refused meanwhile. */
  readonly inherited: boolean
  /** What was done otherwise than configured, if anything. */
  readonly remark: string | undefined
}

// Whoever may reach the port over TCP may reach the socket.
const SOCKET_MODE = 0o666

/**
 * Opens the listening socket, or takes over an inherited one if it listens where the configuration says.
 * @throws ServiceError ERR_LISTEN, naming the address and what stands in the way
 */
export async function openListener (address: Address, inheritedFd: number | undefined): Promise<Listener> {
  if (inheritedFd !== undefined) {
    const bound = await addressOf(inheritedFd)
    if (bound !== undefined && isSameAddress(bound, address)) {
      return { fd: inheritedFd, ...describe(bound), inherited: true, remark: undefined }
    }
    // It goes on listening while systemd keeps it, and would stand in the way of the same port.
    stopListening(inheritedFd)
    closeSync(inheritedFd)
  }
  if ('path' in address) {
    await removeStaleSocket(address.path)
    const opened = await open({ path: address.path }).catch(error => fail(address.path, error))
    chmodSync(address.path, SOCKET_MODE)
    return { ...opened, inherited: false, remark: undefined }
  }
  const { host, port, hostIsDefault } = address
  try {
    return { ...await open({ host, port }), inherited: false, remark: undefined }
  } catch (error) {
    const hasNoIPv6 = hostIsDefault && ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes((error as NodeJS.ErrnoException).code ?? '')
    if (!hasNoIPv6) fail(urlOf(host, port), error)
    const opened = await open({ host: '0.0.0.0', port }).catch(error => fail(urlOf('0.0.0.0', port), error))
    return { ...opened, inherited: false, remark: 'this machine has no IPv6: listening on IPv4 only' }
  }
}

type Bound = AddressInfo | string

// The server is closed within the callback, before the event loop could accept anything for it.
async function listenOnce<T> (options: ListenOptions | { fd: number }, use: (fd: number, bound: Bound) => T): Promise<T> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ ...options, backlog: BACKLOG }, () => {
      // _handle is the only way to the descriptor; Node has kept it since its first version.
      const { fd } = (server as unknown as { _handle: { fd: number } })._handle
      try {
        resolve(use(fd, server.address() as Bound))
      } catch (error) {
        reject(error)
      }
      closeKeepingFile(server, options)
    })
  })
}

// Closing a server of Node's own removes the file of its Unix socket, though the socket lives on in another descriptor.
function closeKeepingFile (server: Server, options: ListenOptions | { fd: number }): void {
  const path = 'path' in options ? options.path : undefined
  // One that a crash between these lines has left would be in the way for ever.
  if (path !== undefined) rmSync(`${path}.kept`, { force: true })
  if (path !== undefined) linkSync(path, `${path}.kept`)
  server.close()
  if (path !== undefined) renameSync(`${path}.kept`, path)
}

async function open (options: ListenOptions): Promise<Pick<Listener, 'fd' | 'url' | 'port'>> {
  return await listenOnce(options, (fd, bound) => ({ fd: duplicate(fd), ...describe(bound) }))
}

async function addressOf (fd: number): Promise<Bound | undefined> {
  // For a Unix socket that it has not opened itself Node tells no address.
  const path = unixPathOf(fd)
  if (path !== undefined) return path
  // The copy is what closing the server closes. What is no listening socket any more is no address.
  return await listenOnce({ fd: duplicate(fd) }, (_fd, bound) => bound).catch(() => undefined)
}

function isSameAddress (bound: Bound, wanted: Address): boolean {
  if ('path' in wanted) return bound === wanted.path && existsSync(wanted.path)
  if (typeof bound === 'string') return false
  const hosts = wanted.hostIsDefault ? [wanted.host, '0.0.0.0'] : [wanted.host]
  return hosts.map(normal).includes(bound.address) && (wanted.port === 0 || bound.port === wanted.port)
}

function normal (host: string): string {
  return new SocketAddress({ address: host, family: isIPv6(host) ? 'ipv6' : 'ipv4' }).address
}

function describe (bound: Bound): { url: string, port: number | undefined } {
  if (typeof bound === 'string') return { url: bound, port: undefined }
  return { url: urlOf(bound.address, bound.port), port: bound.port }
}

function urlOf (host: string, port: number): string {
  return `http://${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** Removes a socket file that outlived its process: one on which nobody answers. @throws ServiceError ERR_LISTEN where somebody does */
export async function removeStaleSocket (path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  // connect(2) refuses a file that is no socket with the same error as a socket that nobody listens on.
  if (!stats.isSocket()) fail(path, new Error('it is there and is no socket'))
  const answers = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path, () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve(false)
      else reject(error)
    })
  }).catch(error => fail(path, error))
  if (answers) fail(path, new Error('another process answers on it'))
  rmSync(path)
}

function fail (where: string, error: unknown): never {
  const hint = (where.startsWith('/') ? pathHints : portHints)[(error as NodeJS.ErrnoException).code ?? '']
  throw new ServiceError('ERR_LISTEN', `cannot listen on ${where}: ${hint ?? messageOf(error)}`, error)
}

const portHints: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there; stop it or set another PORT (`ss -ltnp` names it)',
  EACCES: 'not permitted; ports below 1024 need CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'HOST is no address of this machine'
}

const pathHints: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process has made it just now; stop it or set another path (`ss -lxp` names it)',
  EACCES: 'not permitted; it needs a folder that the service may write'
}
