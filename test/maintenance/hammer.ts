// A thread that asks a gate to be let in as fast as it can, and counts what must never happen.

import { workerData } from 'node:worker_threads'
import { Gate, type Mode, type SwitchMemory } from '../../src/maintenance/switch.ts'

/** Words of the memory that the test shares with its hammers. */
export const STOP = 0
/** What the operator has seen to be drained: an index into {@link DRAINED}. */
export const SEEN = 1
/** Admitted after it had been seen to be drained. */
export const VIOLATIONS = 2
export const ADMITTED = 3
export const REFUSED = 4
export const WORDS = 5
export const DRAINED = ['nothing', 'read-only', 'maintenance'] as const satisfies readonly (Mode | 'nothing')[]

export interface HammerData {
  memory: SwitchMemory
  slot: number
  shared: SharedArrayBuffer
}

if (workerData !== null) hammer(workerData as HammerData)

function hammer ({ memory, slot, shared }: HammerData): void {
  const gate = new Gate(memory, slot)
  const words = new Int32Array(shared)
  for (let turn = 0; Atomics.load(words, STOP) === 0; turn++) {
    const safe = turn % 3 === 0
    if (!gate.admit(safe)) {
      Atomics.add(words, REFUSED, 1)
      continue
    }
    const seen = DRAINED[Atomics.load(words, SEEN)]
    if (seen === 'maintenance' || (seen === 'read-only' && !safe)) Atomics.add(words, VIOLATIONS, 1)
    Atomics.add(words, ADMITTED, 1)
    gate.release(safe)
  }
}
