// What a start takes over from the process before it: the folder of the record, the state in it, the listening socket.

import { mkdirSync, openSync } from 'node:fs'
import type { Config } from '../config.ts'
import { ServiceError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { lock } from '../platform/libc.ts'
import { openListener, type Listener } from './listener.ts'
import { LISTEN, type Manager } from './manager.ts'
import { inDoubt, type RecordState } from './record-format.ts'
import type { DurableRecord } from './record.ts'

/**
 * Locks the folder of the record for the life of the process: of two that shared a record, each would open what the
 * other has closed. Where the folder cannot be had there is no record to share.
 * @throws ServiceError ERR_RECORD_LOCKED
 */
export function lockFolder (path: string): void {
  let folder
  try {
    mkdirSync(path, { recursive: true, mode: 0o750 })
    folder = openSync(path, 'r')
  } catch {
    return
  }
  if (!lock(folder)) {
    throw new ServiceError('ERR_RECORD_LOCKED', `${path} is used by another process; stop it or set another STATE_DIRECTORY`)
  }
}

/** @returns what the record says, or maintenance where it cannot be trusted or the witness says otherwise */
export function readState (record: DurableRecord, hasWitness: boolean, logger: Logger): RecordState {
  const { state, doubt } = record.read()
  if (doubt !== undefined) {
    logger.error({ event: 'record-unreadable', err: doubt },
      'the record cannot be trusted: starting in maintenance; send SIGUSR2 to leave')
  }
  if (state.mode === 'maintenance' || !hasWitness) return state
  logger.error({ event: 'record-unreadable', since: state.since },
    'the record says live, but maintenance was on: starting in maintenance; send SIGUSR2 to leave')
  return inDoubt(new Date())
}

/** @throws ServiceError ERR_LISTEN */
export async function openStoredListener (config: Config, inheritedFd: number | undefined, manager: Manager): Promise<Listener> {
  const listener = await openListener(config.address, inheritedFd)
  if (!listener.inherited) {
    if (inheritedFd !== undefined) manager.unstore(LISTEN)
    manager.store(LISTEN, listener.fd)
  }
  return listener
}
