// Every error code of the service, one line each. Messages are written where the error arises, since they name
// the setting or file at hand; docs/errors.md says what to do about each.

/** Code → what it means. A test holds this table, its uses and docs/errors.md together. */
export const errorCodes = {
  ERR_CONFIG: 'the configuration has problems; the message lists all of them',
  ERR_LISTEN: 'the address cannot be listened on',
  ERR_PAGE: 'the maintenance page cannot be read or is unfit to be sent',
  ERR_RECORD_READ: 'the record cannot be read, parsed, or is of an unknown version',
  ERR_RECORD_WRITE: 'the record cannot be written',
  ERR_RECORD_LOCKED: 'another process uses the same record',
  ERR_APP_LOAD: 'the application module cannot be loaded or exports no Fastify plugin',
  ERR_APP_DYING: 'the application keeps dying or keeps failing to load',
  ERR_REFUSED: 'work was begun that the current mode refuses',
  ERR_NOT_OURS: 'the switch belongs to the service and is set through its operator only',
  ERR_NO_SIGNALS: 'SIGUSR1 is blocked and cannot be unblocked on this platform'
} as const

/** The exit code of a wrong configuration: sysexits.h; the unit does not restart on it. */
export const EX_CONFIG = 78

export type ErrorCode = keyof typeof errorCodes

export class ServiceError extends Error {
  readonly code: ErrorCode

  constructor (code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'ServiceError'
    this.code = code
  }
}

/** The message of whatever was thrown. */
export function messageOf (thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
