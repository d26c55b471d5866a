// What stands in the record's file: version 1, one line of JSON. It knows nothing of files.

import type { Holder } from './holders.ts'
import { OPERATOR, endings } from './protocol.ts'

/** What the record tells. */
export interface RecordState {
  mode: 'live' | 'maintenance'
  /** When the mode was entered. */
  since: Date
  /** Who or what asked for it, for example `SIGUSR1`. */
  by: string
  /** Who wants maintenance; empty in live mode, and only then. */
  holders: Holder[]
}

const VERSION = 1

/** What is assumed where the truth cannot be known. */
export function inDoubt (since: Date): RecordState {
  const by = 'doubt about the record'
  return { mode: 'maintenance', since, by, holders: [{ name: OPERATOR, by, since }] }
}

/** As it stands in the file: one line. */
export function formatRecord (state: RecordState): string {
  return JSON.stringify({ version: VERSION, ...state }) + '\n'
}

/** @throws Error saying what is wrong with it */
export function parseRecord (text: string): RecordState {
  let value
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw new Error('holds no object')
  const { version, mode, holders = [] } = value
  if (version !== VERSION) throw new Error(`is of version ${JSON.stringify(version)}, and this program knows ${VERSION}`)
  if (mode !== 'live' && mode !== 'maintenance') throw new Error(`has the unknown mode ${JSON.stringify(mode)}`)
  if (!Array.isArray(holders)) throw new Error('has no list of holders')
  const state: RecordState = { mode, since: dateOf(value, 'since'), by: textOf(value, 'by'), holders: holders.map(parseHolder) }
  if (mode === 'live' && holders.length > 0) throw new Error('says live and names holders of maintenance')
  if (mode === 'maintenance' && holders.length === 0) throw new Error('says maintenance and names no holder')
  return state
}

function parseHolder (value: unknown): Holder {
  const holder: Holder = { name: textOf(value, 'name'), by: textOf(value, 'by'), since: dateOf(value, 'since') }
  const { reason, message, end } = value as Record<string, unknown>
  if (reason !== undefined) holder.reason = textOf(value, 'reason')
  if (message !== undefined) holder.message = textOf(value, 'message')
  if (end !== undefined) {
    const then = endings.find(ending => ending === textOf(end, 'then'))
    const countsBy = textOf(end, 'countsBy')
    if (then === undefined || (countsBy !== 'clock' && countsBy !== 'duration')) throw new Error('has an end of an unknown kind')
    holder.end = { at: dateOf(end, 'at'), then, countsBy }
  }
  return holder
}

function textOf (value: unknown, name: string): string {
  const text = (value as Record<string, unknown> | null)?.[name]
  if (typeof text !== 'string') throw new Error(`has no valid "${name}"`)
  return text
}

function dateOf (value: unknown, name: string): Date {
  const date = new Date(textOf(value, name))
  if (Number.isNaN(date.getTime())) throw new Error(`has no valid "${name}"`)
  return date
}
