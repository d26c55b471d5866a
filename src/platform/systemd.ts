// libsystemd: notifications to the service manager, its file descriptor store, and native journal entries. Every
// call does nothing where the process was not started by systemd.

import koffi from 'koffi'

/** What sd_notify(3) is told; keys are written as they are. */
export type Notification = Readonly<Record<string, string | number>>

export interface Systemd {
  /** Whether a service manager listens to notifications. */
  readonly managed: boolean
  /** Half of the watchdog's interval (sd_watchdog_enabled(3)), or undefined where none is set. */
  readonly watchdogPingMs: number | undefined
  notify (notification: Notification): void
  /** Keeps a descriptor across restarts and crashes (FDSTORE=1). @returns whether the manager was told */
  store (name: string, fd: number): boolean
  unstore (name: string): void
  /** A native entry in the journal (sd_journal_sendv(3)). @returns whether it was taken */
  journal (fields: Readonly<Record<string, string | number>>): boolean
}

/** @throws Error where the manager is to be told and libsystemd cannot be loaded */
export function connectSystemd (env: NodeJS.ProcessEnv, pid: number): Systemd {
  if (env.NOTIFY_SOCKET === undefined && env.JOURNAL_STREAM === undefined) return unmanaged
  const library = koffi.load('libsystemd.so.0')
  const notify = library.func('int sd_notify(int unset, const char *state)')
  const notifyWithFds =
    library.func('int sd_pid_notify_with_fds(int pid, int unset, const char *state, int *fds, unsigned int n)')
  const Iovec = koffi.struct({ base: 'void *', length: 'size_t' })
  const sendv = library.func('sd_journal_sendv', 'int', [koffi.pointer(Iovec), 'int'])

  const forThisProcess = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === pid
  const watchdogMicroseconds = forThisProcess ? Number(env.WATCHDOG_USEC ?? 0) : 0

  return {
    managed: env.NOTIFY_SOCKET !== undefined,
    watchdogPingMs: watchdogMicroseconds > 0 ? Math.floor(watchdogMicroseconds / 2000) : undefined,
    notify: notification => { notify(0, assignments(notification)) },
    // Without FDPOLL=0 systemd drops a descriptor as soon as its poll reports an error.
    store: (name, fd) => notifyWithFds(0, 0, assignments({ FDSTORE: 1, FDNAME: name, FDPOLL: 0 }), [fd], 1) > 0,
    unstore: name => { notify(0, assignments({ FDSTOREREMOVE: 1, FDNAME: name })) },
    journal: fields => {
      if (env.JOURNAL_STREAM === undefined) return false
      const parts = Object.entries(fields).map(([name, value]) => Buffer.from(`${name}=${value}`))
      return sendv(parts.map(part => ({ base: part, length: part.length })), parts.length) === 0
    }
  }
}

const unmanaged: Systemd = {
  managed: false,
  watchdogPingMs: undefined,
  notify: () => {},
  store: () => false,
  unstore: () => {},
  journal: () => false
}

/** The descriptors handed over at start, by name (sd_listen_fds_with_names(3)). */
export function inheritedFds (env: NodeJS.ProcessEnv, pid: number): Map<string, number> {
  const FIRST_FD = 3
  const fds = new Map<string, number>()
  if (Number(env.LISTEN_PID) !== pid) return fds
  const names = (env.LISTEN_FDNAMES ?? '').split(':')
  for (let i = 0; i < Number(env.LISTEN_FDS ?? 0); i++) fds.set(names[i] ?? `fd${i}`, FIRST_FD + i)
  return fds
}

function assignments (notification: Notification): string {
  return Object.entries(notification).map(([name, value]) => `${name}=${String(value).replaceAll('\n', ' ')}`).join('\n')
}
