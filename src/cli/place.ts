// Where the control socket is looked for.

import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { controlSocketPath, userRuntimeDirectory } from '../paths.ts'

/** Where the shipped unit puts it: RuntimeDirectory=myserver. */
export const SYSTEM_SOCKET = '/run/myserver/control.sock'

export interface Place {
  path: string
  /** Whether it is that of a service that the user started by hand, since the system has none. */
  isOwn: boolean
}

/**
 * The variable that tells a service its runtime directory is not looked at: in a unit that calls this command it names
 * the folder of that unit.
 * @param named what --socket says
 */
export function placeOf (named: string | undefined, env: NodeJS.ProcessEnv): Place {
  if (named !== undefined) return { path: named, isOwn: false }
  if (existsSync(dirname(SYSTEM_SOCKET))) return { path: SYSTEM_SOCKET, isOwn: false }
  return { path: controlSocketPath(userRuntimeDirectory(env)), isOwn: true }
}
