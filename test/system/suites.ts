// Which systems the tests run on, and whether they can run here at all.

import t, { type Test } from 'tap'
import { accessSync, constants } from 'node:fs'

export interface Suite {
  /** Debian's name for the release. */
  name: 'bookworm' | 'trixie'
  /** The major version of its systemd. */
  systemd: number
}

export const suites: readonly Suite[] = [
  { name: 'bookworm', systemd: 252 },
  { name: 'trixie', systemd: 257 }
]

const programs = ['systemd-nspawn', 'debootstrap', 'unshare', 'nsenter', 'setpriv']

/** Why no machine can be booted here; undefined if one can. */
export function whyNot (): string | undefined {
  if (process.platform !== 'linux') return 'system tests need Linux'
  if (process.getuid?.() !== 0) return 'system tests need root: sudo npm run test:system'
  const missing = programs.filter(program => !isInstalled(program))
  if (missing.length > 0) return `system tests need ${missing.join(', ')}: apt-get install systemd-container debootstrap`
  return undefined
}

/**
 * Runs `body` once for each suite. Where no machine can be booted the tests are skipped, in plain
 * words; with CI=true they fail instead, so that a CI which lost its tools cannot pass for green.
 */
export function onEachSuite (topic: string, body: (t: Test, suite: Suite) => Promise<void>): void {
  const reason = whyNot()
  // A machine takes seconds to boot, a root minutes to build: tap's half a minute is not for these.
  t.setTimeout(30 * 60_000)
  t.jobs = 1
  for (const suite of suites.filter(isWanted)) {
    const title = `${topic} on ${suite.name} (systemd ${suite.systemd})`
    if (reason === undefined) t.test(title, t => body(t, suite))
    else if (process.env.CI === 'true') t.fail(`${title}: ${reason}`)
    else t.test(title, { skip: reason }, () => {})
  }
}

/** SUITE=trixie runs the tests on that one alone. */
function isWanted (suite: Suite): boolean {
  return (process.env.SUITE ?? suite.name) === suite.name
}

function isInstalled (program: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.some(folder => {
    try {
      accessSync(`${folder}/${program}`, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
