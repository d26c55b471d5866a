// The service manager's end of $NOTIFY_SOCKET: a datagram socket, which Node has none of, through the C library.

import { once } from 'node:events'
import { join } from 'node:path'
import koffi from 'koffi'
import { newFolder, type Scope } from './places.ts'

const AF_UNIX = 1
const SOCK_DGRAM = 2
const SUN_PATH = 2
const SOCKADDR_UN_BYTES = 110
const MOST_BYTES = 8192

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int domain, int type, int protocol)')
const bind = libc.func('int bind(int fd, void *address, uint32_t length)')
const recv = libc.func('long recv(int fd, _Out_ uint8_t *data, size_t length, int flags)')
const shutdown = libc.func('int shutdown(int fd, int how)')
const close = libc.func('int close(int fd)')

/** Whether these sockets can be made here. */
export const hasDatagrams = process.platform === 'linux'

export class NotifySocket {
  readonly path: string
  /** Every datagram so far, its lines as an object. */
  readonly received: Array<Readonly<Record<string, string>>> = []
  readonly #fd: number
  readonly #emitter = new EventTarget()
  #isClosed = false

  constructor (t: Scope) {
    this.path = join(newFolder(t), 'notify')
    this.#fd = bound(this.path)
    this.#receive()
    t.teardown(() => {
      this.#isClosed = true
      // It ends the call that waits.
      shutdown(this.#fd, 2)
    })
  }

  /** The newest status text. */
  get status (): string | undefined {
    return this.received.findLast(({ STATUS }) => STATUS !== undefined)?.STATUS
  }

  /** Waits until something holds, looking after each datagram. */
  async until (holds: () => boolean): Promise<void> {
    while (!holds()) await once(this.#emitter, 'datagram')
  }

  #receive (): void {
    const data = Buffer.alloc(MOST_BYTES)
    recv.async(this.#fd, data, data.length, 0, (_error: unknown, bytes: number) => {
      if (this.#isClosed || bytes <= 0) {
        close(this.#fd)
        return
      }
      this.received.push(Object.fromEntries(data.toString('utf8', 0, bytes).split('\n').map(line => {
        const at = line.indexOf('=')
        return [line.slice(0, at), line.slice(at + 1)]
      })))
      this.#emitter.dispatchEvent(new Event('datagram'))
      this.#receive()
    })
  }
}

/** Somebody who is there and does not read. */
export class StalledSocket {
  readonly path: string

  constructor (t: Scope) {
    this.path = join(newFolder(t), 'stalled')
    const fd = bound(this.path)
    t.teardown(() => close(fd))
  }
}

/** @returns a datagram socket that is bound to a path */
function bound (path: string): number {
  const fd = socket(AF_UNIX, SOCK_DGRAM, 0)
  const address = Buffer.alloc(SOCKADDR_UN_BYTES)
  address.writeUInt16LE(AF_UNIX)
  address.write(path, SUN_PATH)
  if (bind(fd, address, address.length) !== 0) throw new Error(`bind failed: errno ${koffi.errno()}`)
  return fd
}
