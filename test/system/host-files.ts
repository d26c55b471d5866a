// What a machine needs of the host for npm to work in it: npm's configuration, and the
// certificates to trust where packages are reached through a private authority.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

export interface HostFile {
  /** Where the file belongs in the machine. */
  path: string
  content: Buffer
}

const bundle = '/etc/ssl/certs/ca-certificates.crt'
let found: readonly HostFile[] | undefined

/** Read when a machine boots, and never kept in a root: they may change, and may hold secrets. */
export function hostFiles (): readonly HostFile[] {
  found ??= findFiles()
  return found
}

/** The environment variables of the host that concern the same. */
export function hostEnvironment (): string[] {
  const extra = process.env.NODE_EXTRA_CA_CERTS
  return extra === undefined ? [] : [`NODE_EXTRA_CA_CERTS=${extra}`]
}

function findFiles (): HostFile[] {
  const npm = npmConfiguration()
  const wanted = new Map([
    [npm.get('globalconfig'), '/etc/npmrc'],
    [npm.get('userconfig'), '/root/.npmrc'],
    ...[bundle, npm.get('cafile'), process.env.NODE_EXTRA_CA_CERTS].map(path => [path, path] as const)
  ])
  const files: HostFile[] = []
  for (const [from, path] of wanted) {
    if (from === undefined || path === undefined || !existsSync(from)) continue
    files.push({ path, content: readFileSync(from) })
  }
  return files
}

function npmConfiguration (): Map<string, string> {
  try {
    const lines = execFileSync('npm', ['config', 'get', 'globalconfig', 'userconfig', 'cafile'], {
      encoding: 'utf8', cwd: '/', stdio: ['ignore', 'pipe', 'ignore']
    }).split('\n')
    return new Map(lines.map(line => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1)]
    }))
  } catch {
    return new Map()
  }
}
