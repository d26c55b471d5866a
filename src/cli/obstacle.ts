// What stands between a command and the service, and the way out.

import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '../errors.ts'
import { Failure } from './failure.ts'
import { SYSTEM_SOCKET, type Place } from './place.ts'

const START = 'start it: systemctl start myserver'
const LOOK = 'systemctl status myserver'

/** Something else answers there. */
export function foreign ({ path }: Place, why: string): Failure {
  return new Failure('unreachable', `${path} is no control socket of myserver: ${why}`)
}

/** The connection broke before the whole answer was there. */
export function broken ({ path }: Place): Failure {
  return new Failure('lost', `the service ended the connection to ${path} without an answer`)
}

export function mute ({ path }: Place, limitMs: number): Failure {
  return new Failure('lost', `the service does not answer: nothing came from ${path} within ${limitMs / 1000} s; what it is at: ${LOOK}`)
}

/** A request that failed. */
export function obstacle (place: Place, error: NodeJS.ErrnoException): Failure {
  if ((error.code ?? '').startsWith('HPE_')) return foreign(place, 'its answer is not HTTP')
  return error.syscall === 'connect' ? noConnection(place, error) : broken(place)
}

function noConnection (place: Place, error: NodeJS.ErrnoException): Failure {
  const { path } = place
  switch (error.code) {
    case 'ENOENT':
      return new Failure('unreachable', absence(place))
    case 'ECONNREFUSED':
      // The kernel refuses a connection to a file of any kind: unix(7).
      if (!isSocket(path)) return foreign(place, 'it is no socket')
      return new Failure('unreachable', `the service is not running: nobody answers on ${path}; ${START}`)
    case 'EACCES':
    case 'EPERM':
      return new Failure('unreachable', `no permission to use ${path}; ${permissionHint(path)}`)
    default:
      return new Failure('unreachable', `${path} cannot be used: ${messageOf(error)}; ` +
        `--socket names the control socket, which is ${SYSTEM_SOCKET} where systemd runs the service: ${LOOK}`)
  }
}

function absence ({ path, isOwn }: Place): string {
  if (path === SYSTEM_SOCKET) return `the service is not running: there is no ${path}; ${START}`
  if (isOwn) return `the service is not running: there is no ${SYSTEM_SOCKET}, nor ${path} of one that you run yourself; ${START}`
  return `there is no ${path}: is --socket right? Where systemd runs the service it is ${SYSTEM_SOCKET}: ${LOOK}`
}

function isSocket (path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() !== false
}

// The socket itself may be out of sight; its folder's group is the same.
function permissionHint (path: string): string {
  for (const place of [path, dirname(path)]) {
    try {
      const { gid } = statSync(place)
      // Whoever is in the group of root is all but root.
      if (gid === 0) break
      const group = groupName(gid)
      return `its group is ${group}: use sudo, or sudo usermod -aG ${group} $USER and log in again`
    } catch {}
  }
  return 'use sudo'
}

function groupName (gid: number): string {
  const lines = readFileSync('/etc/group', 'utf8').split('\n').map(line => line.split(':'))
  return lines.find(([, , id]) => id === String(gid))?.[0] ?? String(gid)
}
