// Where tests of the service find and put things: its folder, the fixtures, folders of their own, records.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** What of a test these helpers need. */
export interface Scope {
  teardown (end: () => unknown): unknown
}

export const root = resolve(import.meta.dirname, '../..')

/** @returns the path of an application among the fixtures */
export function fixture (name: string): string {
  return resolve(import.meta.dirname, '../fixtures', name)
}

/** A new folder that is removed with the test. */
export function newFolder (t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'myserver-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A file that does not exist yet; fixtures wait for it. */
export class Gate {
  readonly path: string

  constructor (t: Scope) {
    this.path = join(newFolder(t), 'gate')
  }

  open (): void {
    writeFileSync(this.path, '')
  }
}

/** What stands in the file of a record. */
export function recordOf (mode: 'live' | 'maintenance', by = 'test'): Buffer {
  const since = new Date().toISOString()
  const holders = mode === 'live' ? [] : [{ name: 'operator', by, since }]
  return Buffer.from(JSON.stringify({ version: 1, mode, since, by, holders }) + '\n')
}
