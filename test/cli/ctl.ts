// The real myserverctl as a process of its own. Nothing here waits for time.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Status } from '../../src/control/protocol.ts'
import { root, type Scope } from '../helpers/places.ts'

export interface Outcome {
  code: number | null
  out: string
  err: string
}

export interface CtlOptions {
  /** A folder with `run/control.sock`, as a service under test has, for --socket. Without it the arguments say where. */
  folder?: string
  env?: Readonly<Record<string, string | undefined>>
  /** What to run instead of node with its arguments, which it gets as its own. */
  through?: readonly string[]
}

const program = join(root, 'src/cli/myserverctl.ts')

export class Ctl {
  readonly child: ChildProcess
  readonly ended: Promise<Outcome>
  out = ''
  err = ''
  #hasEnded = false
  readonly #waiting = new Set<() => void>()

  constructor (t: Scope, [name = '', ...args]: readonly string[], { folder, env = {}, through = [] }: CtlOptions = {}) {
    const socket = folder === undefined ? [] : ['--socket', join(folder, 'run/control.sock')]
    const named = name === '' ? [] : [name, ...socket, ...args]
    const [command = '', ...rest] = [...through, process.execPath, program, ...named]
    this.child = spawn(command, rest, {
      env: { PATH: process.env.PATH, ...env },
      stdio: 'pipe'
    })
    this.child.stdin?.on('error', () => {})
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => { this.#read('out', text) })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.#read('err', text) })
    this.ended = once(this.child, 'close').then(([code]) => {
      this.#hasEnded = true
      this.#look()
      return { code, out: this.out, err: this.err }
    })
    t.teardown(async () => {
      this.child.kill('SIGKILL')
      await this.ended
    })
  }

  /** Waits until its output, or its errors, match. @throws Error if it ends without */
  async says (pattern: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        const isThere = pattern.test(this.out) || pattern.test(this.err)
        if (!isThere && !this.#hasEnded) return
        this.#waiting.delete(look)
        if (isThere) resolve()
        else reject(new Error(`myserverctl ended without ${pattern}:\n${this.out}${this.err}`))
      }
      this.#waiting.add(look)
      look()
    })
  }

  #read (where: 'out' | 'err', text: string): void {
    this[where] += text
    this.#look()
  }

  #look (): void {
    for (const look of this.#waiting) look()
  }
}

/** Runs it to its end, against a service or another folder. */
export async function ctl (t: Scope, { folder }: { folder?: string }, ...args: string[]): Promise<Outcome> {
  return await new Ctl(t, args, folder === undefined ? {} : { folder }).ended
}

/** What `status --json` says. */
export async function statusOf (t: Scope, service: { folder: string }): Promise<Status> {
  return JSON.parse((await ctl(t, service, 'status', '--json')).out)
}
