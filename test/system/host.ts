// What the host keeps for a machine: a folder, a control group, and the lock on loopback.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { poll } from './commands.ts'

const folderOf = (folder: string, name: string): string => join(folder, `.${name}`)

/** A name for a machine of this process, and the folder for its disk below `folder`. */
export function nameMachine (folder: string, count: number): { name: string, work: string } {
  const name = `myserver-test-${process.pid}-${count}`
  return { name, work: folderOf(folder, name) }
}

/**
 * Waits until no other process has a machine up: they would meet on the same ports. An abstract
 * socket is of the network namespace, as loopback is, and ends with its process.
 */
export async function lockLoopback (): Promise<() => void> {
  return await poll('another machine to be stopped', 30 * 60_000, async () => {
    const lock = createServer()
    try {
      lock.listen('\0myserver-test-machine')
      await once(lock, 'listening')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return undefined
      throw error
    }
    lock.unref()
    return () => { lock.close() }
  })
}

/** Throws if something on this host listens on `port` of loopback. */
export async function expectFree (port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } catch {
    return
  } finally {
    socket.destroy()
  }
  throw new Error(`port ${port} is taken by something outside the machine: stop that first`)
}

/** The first process of the machine that `supervisor` runs, and undefined while it has none. */
export function findLeader (supervisor: number): number | undefined {
  const depth = namespacedIds(process.pid).length + 2
  const found = (pid: number): number | undefined => {
    const ids = namespacedIds(pid)
    if (ids.length === depth && ids.at(-1) === 1) return pid
    return firstOf(childrenOf(pid), found)
  }
  return found(supervisor)
}

export function childrenOf (pid: number): number[] {
  return readProc(pid, `task/${pid}/children`).split(' ').filter(Boolean).map(Number)
}

/** Removes what a machine leaves behind, once its processes have been killed. */
export function removeMachine (name: string, work: string): void {
  // The kernel lets a control group go only when its last process is gone for good.
  spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', `
    mount -t cgroup2 none /sys/fs/cgroup
    tries=100
    while [ -d "/sys/fs/cgroup/$1" ] && [ "$tries" -gt 0 ]; do
      find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
      tries=$((tries - 1))
    done`, 'sh', name], { stdio: 'ignore' })
  rmSync(work, { recursive: true, force: true })
}

/** Removes what machines left behind whose test was killed before it could do so. */
export function removeLeftovers (folder: string): void {
  for (const entry of readdirSync(folder)) {
    const [, name, pid] = /^\.(myserver-test-(\d+)-\d+)/.exec(entry) ?? []
    if (name === undefined || existsSync(`/proc/${pid}`)) continue
    removeMachine(name, join(folder, entry))
  }
}

let exitsOnSignals = false

/** Machines are removed when the process exits, which Node does not do by itself on a signal. */
export function exitOnSignals (): void {
  if (exitsOnSignals) return
  exitsOnSignals = true
  process.once('SIGINT', () => process.exit(130))
  process.once('SIGTERM', () => process.exit(143))
  process.once('SIGHUP', () => process.exit(129))
}

function namespacedIds (pid: number): number[] {
  const line = /^NSpid:(.*)$/m.exec(readProc(pid, 'status'))?.[1] ?? ''
  return line.trim().split(/\s+/).map(Number)
}

function readProc (pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return '' // It has ended.
  }
}

function firstOf<T, U> (items: readonly T[], find: (item: T) => U | undefined): U | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
