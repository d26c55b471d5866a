// Waiting with a limit.

import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves when the promise does, at the latest after the limit; no timer is left behind. Rejects as it does by then. */
export async function within (limitMs: number, promise: Promise<unknown>): Promise<void> {
  const inTime = new AbortController()
  const late = sleep(limitMs, undefined, { signal: inTime.signal }).catch(() => {})
  try {
    await Promise.race([promise, late])
  } finally {
    inTime.abort()
  }
}
