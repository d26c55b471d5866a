// Gives back the memory that loading has left behind, which V8 by itself keeps until it needs room.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const LOOK_MS = 2_000

/**
 * Tidies the calling thread once, when it has had nothing to do for a while: it takes some hundredths of a second, in
 * which the thread does nothing else.
 * @param done how much it has done so far
 */
export function tidyWhenIdle (done: () => number): void {
  let before = done()
  const timer = setInterval(() => {
    const now = done()
    if (now === before) {
      clearInterval(timer)
      tidy()
    }
    before = now
  }, LOOK_MS).unref()
}

/** Tidies the calling thread at once. */
export function tidy (): void {
  // Nothing else collects where node was not started with --expose-gc. The flavour is V8's word for a collection that keeps
  // nothing that could be made again.
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { type: string, execution: string, flavor: string }) => void
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
}
