// The few calls of the C library that Node has no name for. Everything platform-specific about them stays here.

import { constants } from 'node:os'
import koffi from 'koffi'

const isMac = process.platform === 'darwin'
const SIG_UNBLOCK = isMac ? 2 : 1
const F_DUPFD_CLOEXEC = isMac ? 67 : 1030
// sigset_t: 128 bytes in glibc, 4 on macOS.
const SIGSET_BYTES = 128

interface Libc {
  shutdown (fd: number, how: number): number
  flock (fd: number, operation: number): number
  fcntl (fd: number, command: number, type: 'int', least: number): number
  sigemptyset (set: Buffer): number
  sigaddset (set: Buffer, signal: number): number
  pthread_sigmask (how: number, set: Buffer, old: null): number
  getsockname (fd: number, address: Buffer, length: Uint32Array): number
  getsockopt (fd: number, level: number, name: number, value: Buffer, length: Uint32Array): number
  getpwuid (uid: number): unknown
}

let loaded: Libc | undefined

function libc (): Libc {
  if (loaded !== undefined) return loaded
  const library = koffi.load(isMac ? 'libSystem.B.dylib' : 'libc.so.6')
  loaded = {
    flock: library.func('int flock(int fd, int operation)'),
    shutdown: library.func('int shutdown(int fd, int how)'),
    fcntl: library.func('int fcntl(int fd, int command, ...)'),
    sigemptyset: library.func('int sigemptyset(void *set)'),
    sigaddset: library.func('int sigaddset(void *set, int signal)'),
    pthread_sigmask: library.func('int pthread_sigmask(int how, void *set, void *old)'),
    getsockname: library.func('int getsockname(int fd, void *address, void *length)'),
    getsockopt: library.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
    getpwuid: library.func('void *getpwuid(uint32_t uid)')
  }
  return loaded
}

/**
 * Lets a signal through to the calling thread. `node --disable-sigusr1` starts with SIGUSR1 blocked: it opens no
 * inspector, and what arrived meanwhile is delivered now (POSIX, pthread_sigmask).
 * @throws Error where the C library cannot be loaded or refuses
 */
export function unblockSignal (signal: 'SIGUSR1'): void {
  const set = Buffer.alloc(SIGSET_BYTES)
  const { sigemptyset, sigaddset, pthread_sigmask: setMask } = libc()
  sigemptyset(set)
  sigaddset(set, constants.signals[signal])
  const error = setMask(SIG_UNBLOCK, set, null)
  if (error !== 0) throw new Error(`pthread_sigmask failed with error ${error}`)
}

/**
 * A second descriptor of the same open socket. Threads share one table of descriptors, so each needs its own to
 * be able to close it; processes that an application starts do not get it.
 * @throws Error when no descriptor is left
 */
export function duplicate (fd: number): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0)
  if (copy < 0) throw new Error(`fcntl(${fd}, F_DUPFD_CLOEXEC) failed: errno ${koffi.errno()}`)
  return copy
}

const LOCK_EX_NB = 2 | 4

/** Locks an open file or folder for as long as it stays open: flock(2). @returns whether nobody else has */
export function lock (fd: number): boolean {
  return libc().flock(fd, LOCK_EX_NB) === 0
}

const SHUT_RDWR = 2

/** Ends the listening of a socket in all its descriptors, those of other processes too; what is no socket is left. */
export function stopListening (fd: number): void {
  libc().shutdown(fd, SHUT_RDWR)
}

const AF_UNIX = 1
// struct sockaddr_un of Linux: two bytes of family, then at most 108 of path; unix(7).
const SOCKADDR_UN_BYTES = 110

/** The path that a Unix socket is bound to; undefined for every other descriptor, and on other platforms. */
export function unixPathOf (fd: number): string | undefined {
  if (isMac) return undefined
  const address = Buffer.alloc(SOCKADDR_UN_BYTES)
  const length = Uint32Array.of(SOCKADDR_UN_BYTES)
  if (libc().getsockname(fd, address, length) !== 0 || address.readUInt16LE(0) !== AF_UNIX) return undefined
  const path = address.subarray(2, length[0])
  return path.subarray(0, path.indexOf(0)).toString()
}

// Linux on x86-64 and arm64; socket(7).
const SOL_SOCKET = 1
const SO_PEERCRED = 17
// struct ucred: pid, uid, gid.
const UCRED_BYTES = 12

export interface Caller {
  pid: number
  uid: number
  /** The user's name, or its number where it has none. */
  user: string
}

/** Who connected a Unix socket, as the kernel saw it then; undefined on platforms other than Linux. */
export function peerOf (fd: number): Caller | undefined {
  if (isMac) return undefined
  const value = Buffer.alloc(UCRED_BYTES)
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, Uint32Array.of(UCRED_BYTES)) !== 0) return undefined
  const uid = value.readUInt32LE(4)
  return { pid: value.readInt32LE(0), uid, user: userName(uid) }
}

// struct passwd begins with pw_name: getpwnam(3).
function userName (uid: number): string {
  const entry = libc().getpwuid(uid)
  return entry === null ? String(uid) : koffi.decode(entry, 'char *') as string
}
