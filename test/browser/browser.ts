// Launches Chromium for the tests, and says why where there is none.

import { accessSync, constants } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'

/**
 * Why the browser tests are skipped; false: they are not.
 * @throws Error where CI=true: there, a skipped test would pass for a good one
 */
export function whySkipped (): string | false {
  try {
    accessSync(executablePath, constants.X_OK)
    return false
  } catch {
    const reason = `no Chromium at ${executablePath}; install one, or set CHROMIUM to its path`
    if (process.env.CI === 'true') throw new Error(reason)
    return reason
  }
}

/** A browser with an empty profile that reaches nothing but this machine; closed with the test. */
export async function launchBrowser (t: { teardown (close: () => Promise<void>): void }): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath,
    args: [
      // Chromium's sandbox refuses to run as root.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'
    ]
  })
  t.teardown(() => browser.close())
  return browser
}
