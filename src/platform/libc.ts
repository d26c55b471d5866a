// The few calls of the C library that Node has no name for. Everything platform-specific about them stays here.

import { constants } from 'node:os'
import koffi from 'koffi'

const isMac = process.platform === 'darwin'
const SIG_UNBLOCK = isMac ? 2 : 1
// sigset_t: 128 bytes in glibc, 4 on macOS.
const SIGSET_BYTES = 128

interface Libc {
  dup (fd: number): number
  sigemptyset (set: Buffer): number
  sigaddset (set: Buffer, signal: number): number
  pthread_sigmask (how: number, set: Buffer, old: null): number
}

let loaded: Libc | undefined

function libc (): Libc {
  if (loaded !== undefined) return loaded
  const library = koffi.load(isMac ? 'libSystem.B.dylib' : 'libc.so.6')
  loaded = {
    dup: library.func('int dup(int fd)'),
    sigemptyset: library.func('int sigemptyset(void *set)'),
    sigaddset: library.func('int sigaddset(void *set, int signal)'),
    pthread_sigmask: library.func('int pthread_sigmask(int how, void *set, void *old)')
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
 * be able to close it.
 * @throws Error when no descriptor is left
 */
export function duplicate (fd: number): number {
  const copy = libc().dup(fd)
  if (copy < 0) throw new Error(`dup(${fd}) failed: errno ${koffi.errno()}`)
  return copy
}
