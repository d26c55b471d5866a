// systemd: notifications to the service manager, its file descriptor store, and native journal entries. Every call
// does nothing where the process was not started by systemd, and waits for nobody unless it is told to. Both protocols
// are fixed: sd_notify(3), and https://systemd.io/JOURNAL_NATIVE_PROTOCOL.

import { openDatagrams } from './datagram.ts'

/** What sd_notify(3) is told; keys are written as they are. */
export type Notification = Readonly<Record<string, string | number>>

export interface Systemd {
  /** Whether a service manager listens to notifications. */
  readonly managed: boolean
  /** Half of the watchdog's interval (sd_watchdog_enabled(3)), or undefined where none is set. */
  readonly watchdogPingMs: number | undefined
  /** @returns whether the manager was told, if there is one */
  notify (notification: Notification): boolean
  /** Keeps a descriptor across restarts and crashes (FDSTORE=1). @returns whether the manager was told, if there is one */
  store (name: string, fd: number): boolean
  /** @returns the same */
  unstore (name: string): boolean
  /** A native entry in the journal. @returns whether it was taken */
  journal (fields: Readonly<Record<string, string | number>>): boolean
}

const JOURNAL = '/run/systemd/journal/socket'

/**
 * @param waits whether to wait for a manager that is busy, where nothing else has to go on meanwhile
 * @throws Error where the manager is to be told and no socket can be opened
 */
export function connectSystemd (env: NodeJS.ProcessEnv, pid: number, { waits = false } = {}): Systemd {
  const { NOTIFY_SOCKET: manager, JOURNAL_STREAM: stream } = env
  if (manager === undefined && stream === undefined) return unmanaged
  const send = openDatagrams()
  const tell = (notification: Notification, fd?: number): boolean =>
    manager === undefined || send(manager, assignments(notification), { fd, waits })

  const forThisProcess = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === pid
  const watchdogMicroseconds = forThisProcess ? Number(env.WATCHDOG_USEC ?? 0) : 0

  return {
    managed: manager !== undefined,
    watchdogPingMs: watchdogMicroseconds > 0 ? Math.floor(watchdogMicroseconds / 2000) : undefined,
    notify: notification => tell(notification),
    // Without FDPOLL=0 systemd drops a descriptor as soon as its poll reports an error.
    store: (name, fd) => tell({ FDSTORE: 1, FDNAME: name, FDPOLL: 0 }, fd),
    unstore: name => tell({ FDSTOREREMOVE: 1, FDNAME: name }),
    journal: fields => stream !== undefined && send(JOURNAL, entryOf(fields))
  }
}

const unmanaged: Systemd = {
  managed: false,
  watchdogPingMs: undefined,
  notify: () => true,
  store: () => true,
  unstore: () => true,
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

function assignments (notification: Notification): Buffer {
  return Buffer.from(Object.entries(notification)
    .map(([name, value]) => `${name}=${String(value).replaceAll('\n', ' ')}`).join('\n'))
}

/** Exported for its tests. */
export function entryOf (fields: Readonly<Record<string, string | number>>): Buffer {
  return Buffer.concat(Object.entries(fields).flatMap(([name, value]) => {
    const text = Buffer.from(String(value))
    if (!text.includes('\n')) return [Buffer.from(`${name}=`), text, Buffer.from('\n')]
    // A value of several lines comes after its length.
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    return [Buffer.from(`${name}\n`), length, text, Buffer.from('\n')]
  }))
}
