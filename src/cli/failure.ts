// How a command fails: with an exit code that scripts can tell apart, and a message that names the way out.

export const exitCodes = { done: 0, refused: 1, usage: 2, unreachable: 3, interrupted: 130 } as const

export class Failure extends Error {
  readonly code: number

  constructor (kind: keyof typeof exitCodes, message: string) {
    super(message)
    this.code = exitCodes[kind]
  }
}
