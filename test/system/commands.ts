// Runs a program to its end and collects what it said.

import { spawn } from 'node:child_process'

/** How a program ended: its exit code, or 128 and the signal's number as a shell would say. */
export interface Result {
  code: number
  stdout: string
  stderr: string
}

/** Starts `argv`, without a shell and without input, and resolves once it has ended, however that was. */
export function execute (argv: readonly string[]): Promise<Result> {
  const [file, ...args] = argv
  if (file === undefined) throw new TypeError('argv must name a program')
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code: code ?? (signal === 'SIGKILL' ? 137 : 143), stdout, stderr }))
  })
}

/** Throws, with the last that the program said, unless it ended with `code`. */
export function expectCode (command: string, result: Result, code: number): Result {
  if (result.code === code) return result
  throw new Error(`exit code ${result.code} instead of ${code}: ${command}\n${lastWords(result)}`)
}

/** The end of what a program printed: errors stand there, and reports stay readable. */
export function lastWords ({ stdout, stderr }: Result): string {
  return `${stdout}${stderr}`.trimEnd().split('\n').slice(-30).join('\n')
}

/** Asks `attempt` again and again until it answers something other than undefined. */
export async function poll<T> (what: string, deadlineMs: number, attempt: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const answer = await attempt()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`gave up after ${deadlineMs / 1000} s waiting for ${what}`)
    await new Promise(resolve => { setTimeout(resolve, 50) })
  }
}
