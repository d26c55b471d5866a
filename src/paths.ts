// Where things are by default, for the service and its command.

import { homedir } from 'node:os'
import { join } from 'node:path'

/** The control socket in a runtime directory. */
export function controlSocketPath (runtimeDirectory: string): string {
  return join(runtimeDirectory, 'control.sock')
}

/** A folder of myserver's where the XDG Base Directory Specification has a user's files of that kind. */
export function userDirectory (env: NodeJS.ProcessEnv, variable: string, belowHome: string): string {
  return join(env[variable] || join(env.HOME || homedir(), belowHome), 'myserver')
}

/** The runtime directory of a service that a user started by hand; never in /tmp, where others may be first. */
export function userRuntimeDirectory (env: NodeJS.ProcessEnv): string {
  return env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'myserver') : join(userDirectory(env, 'XDG_STATE_HOME', '.local/state'), 'run')
}
