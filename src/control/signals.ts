// Signals are intents: SIGUSR1 asks to enter, SIGUSR2 to leave, SIGHUP to reload. They are caught from the first
// moment on, kept until somebody takes them, and never let go again: without a listener they would end the process.
// This file imports nothing, so that it is there before anything that takes time to load.

export type Intent = 'enter' | 'leave' | 'leave-in-doubt' | 'reload'

// How far apart signals may reach this file that were sent at the same time: another thread may take one of them.
const DOUBT_MS = 10

export interface Signals {
  /** Hands over every intent, from those that came before on. */
  deliver (take: (intent: Intent, signal: NodeJS.Signals) => void): void
}

/** @param target the process, as the emitter of its signals */
export function catchSignals (target: NodeJS.EventEmitter, nowMs: () => number = () => performance.now()): Signals {
  const waiting: Array<[Intent, NodeJS.Signals]> = []
  let take: ((intent: Intent, signal: NodeJS.Signals) => void) | undefined
  let enteredAtMs = -Infinity

  function receive (intent: Intent, signal: NodeJS.Signals): void {
    if (take === undefined) waiting.push([intent, signal])
    else take(intent, signal)
  }

  target.on('SIGUSR1', () => {
    receive('enter', 'SIGUSR1')
    enteredAtMs = nowMs()
  })
  // The kernel delivers pending signals by number, not in the order in which they were sent (signal(7)): SIGUSR2
  // right behind SIGUSR1 may have been sent before it. Whoever sent the SIGUSR1 must not find the site open.
  target.on('SIGUSR2', () => receive(nowMs() - enteredAtMs < DOUBT_MS ? 'leave-in-doubt' : 'leave', 'SIGUSR2'))
  target.on('SIGHUP', () => receive('reload', 'SIGHUP'))

  return {
    deliver (taker) {
      take = taker
      for (const [intent, signal] of waiting.splice(0)) taker(intent, signal)
    }
  }
}
