// install.sh below a DESTDIR, from this checkout or a clone of it, on a machine that may be made to lack things.

import { spawnSync } from 'node:child_process'
import {
  chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, join, resolve } from 'node:path'
import type { Test } from 'tap'

export const root = resolve(import.meta.dirname, '../..')
export const installer = join(root, 'install.sh')
export const NOBODY = 65534
export const isRoot = process.getuid?.() === 0
export const needsRoot = { skip: isRoot || process.env.CI === 'true' ? false : 'needs root: sudo npm test' }
// npm fetches, and unpacks the hundred megabytes that Node is.
export const INSTALL_TIMEOUT_MS = 10 * 60_000

// A fresh clone: what install.sh takes, and what it must not.
export function clone (t: Test): string {
  const folder = temporary(t)
  for (const name of ['package.json', 'package-lock.json', 'src', 'public', 'systemd', 'examples', 'install.sh', 'LICENSE']) {
    cpSync(join(root, name), join(folder, name), { recursive: true })
  }
  mkdirSync(join(folder, 'node_modules'))
  writeFileSync(join(folder, 'node_modules/of-the-clone'), '')
  return folder
}

export function temporary (t: Test): string {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'myserver-install-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

// A folder of commands that come before this machine's own.
export function stubs (t: Test, commands: Record<string, string>): string {
  const folder = temporary(t)
  for (const [name, script] of Object.entries(commands)) writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return folder
}

// An npm that gives a release the dependencies of this checkout instead of fetching them.
export const quickNpm = `mkdir -p node_modules/.bin && ln -s '${root}'/node_modules/* node_modules/`

export interface Options { from?: string, bin?: string, path?: string, command?: string[] }

// The environment without what npm and tap put there: an installer is not started by them.
function environment ({ bin, path = process.env.PATH ?? '' }: Options, destination: string): NodeJS.ProcessEnv {
  const outer = Object.entries(process.env).filter(([name]) => !/^(npm_|TAP|_TAP|NODE_OPTIONS)/i.test(name))
  return { ...Object.fromEntries(outer), DESTDIR: destination, PATH: bin === undefined ? path : `${bin}${delimiter}${path}` }
}

export function install (destination: string, args: string[] = [], options: Options = {}) {
  const [file = '', ...before] = [...options.command ?? [], options.from === undefined ? installer : join(options.from, 'install.sh')]
  const { status, stdout, stderr } = spawnSync(file, [...before, ...args], { encoding: 'utf8', env: environment(options, destination) })
  return { status, stdout, stderr }
}

// Two releases of the same second would have the same name.
export function upgrade (t: Test, destination: string, from: string = root) {
  const clock = stubs(t, { npm: quickNpm, date: `case $* in *%Y%m%dT*) echo ${++upgrades} ;; *) exec /bin/date "$@" ;; esac` })
  return install(destination, [], { from, bin: clock })
}
let upgrades = 0

export const releases = (destination: string) => readdirSync(join(destination, 'opt/myserver/releases'))
export const current = (destination: string) => basename(readlinkSync(join(destination, 'opt/myserver/current')))
export const settingsOf = (destination: string) => join(destination, 'etc/myserver/myserver.env')
export const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

/** What find prints for these conditions. */
export const find = (folder: string, ...conditions: string[]) => spawnSync('find', [folder, ...conditions], { encoding: 'utf8' }).stdout
