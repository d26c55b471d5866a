// Datagrams to the path of a Unix socket, which Node cannot send. Nothing waits for whoever reads them unless it wants to,
// and the one socket that they are sent from is opened in advance: there may be no descriptor left when it is needed.

import koffi from 'koffi'

/**
 * Sends one message.
 * @param path of the socket; `@name` is an abstract one (unix(7))
 * @returns whether it was taken: not where nobody listens, or whoever does has not read what came before
 */
export type Send = (path: string, message: Buffer, options?: SendOptions) => boolean

export interface SendOptions {
  /** A descriptor that goes with it. */
  fd?: number | undefined
  /** Whether to wait for whoever is busy; for those who have nothing else to do. */
  waits?: boolean
}

// Linux on x86-64 and arm64: socket(2), send(2), unix(7), cmsg(3).
const AF_UNIX = 1
const SOCK_DGRAM = 2
const SOCK_CLOEXEC = 0o2000000
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
// A cmsghdr and one descriptor, without and with the padding after it.
const CONTROL_LENGTH = 20
const CONTROL_SPACE = 24

let opened: Send | undefined

/**
 * @returns what sends from the one socket of this process
 * @throws Error where it cannot be opened
 */
export function openDatagrams (): Send {
  opened ??= open()
  return opened
}

function open (): Send {
  const library = koffi.load('libc.so.6')
  const Piece = koffi.struct({ base: 'void *', length: 'size_t' })
  const Message = koffi.struct({
    name: 'void *',
    nameLength: 'uint32_t',
    pieces: koffi.pointer(Piece),
    pieceCount: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int'
  })
  const sendmsg = library.func('sendmsg', 'long', ['int', koffi.pointer(Message), 'int'])
  const socket = library.func('int socket(int domain, int type, int protocol)')(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (socket < 0) throw new Error(`socket(AF_UNIX, SOCK_DGRAM) failed: errno ${koffi.errno()}`)

  return (path, message, { fd, waits = false } = {}) => {
    const name = addressOf(path)
    const control = fd === undefined ? null : controlOf(fd)
    return sendmsg(socket, {
      name,
      nameLength: name.length,
      pieces: [{ base: message, length: message.length }],
      pieceCount: 1,
      control,
      controlLength: control?.length ?? 0,
      flags: 0
    }, MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT)) === message.length
  }
}

function addressOf (path: string): Buffer {
  const family = Buffer.alloc(2)
  family.writeUInt16LE(AF_UNIX)
  return Buffer.concat([family, Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`)])
}

function controlOf (fd: number): Buffer {
  const control = Buffer.alloc(CONTROL_SPACE)
  control.writeBigUInt64LE(BigInt(CONTROL_LENGTH), 0)
  control.writeInt32LE(SOL_SOCKET, 8)
  control.writeInt32LE(SCM_RIGHTS, 12)
  control.writeInt32LE(fd, 16)
  return control
}
