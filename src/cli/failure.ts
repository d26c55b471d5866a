// How a command fails: with an exit code that scripts can tell apart, and a message that names the way out.

/** `unreachable`: nothing was asked; `lost`: something was, and no answer came. */
export const exitCodes = { done: 0, refused: 1, timeout: 1, usage: 2, unreachable: 3, lost: 3, interrupted: 130 } as const

export type FailureKind = Exclude<keyof typeof exitCodes, 'done'>

export class Failure extends Error {
  readonly kind: FailureKind
  readonly code: number

  constructor (kind: FailureKind, message: string) {
    super(message)
    this.kind = kind
    this.code = exitCodes[kind]
  }
}
