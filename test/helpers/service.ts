// The real service as a process of its own, watched through the lines it logs. Nothing here waits for time.

import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request, type IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { newFolder, recordOf, root, type Scope } from './places.ts'

export type Line = Readonly<Record<string, unknown>>

export interface ServiceOptions {
  /** Environment variables beside those that every service under test gets; undefined takes one away. */
  env?: Readonly<Record<string, string | undefined>>
  /** The record to start with: a mode, or what stands in the file. Default: none, a first start. */
  record?: 'live' | 'maintenance' | Uint8Array
  /** The folder of another service under test, to start anew where that one ended. */
  folder?: string
  /** What to run instead of node with its arguments, which it gets as its own; for `sh -c 'exec "$@"' sh`. */
  through?: readonly string[]
  args?: readonly string[]
  stdio?: StdioOptions
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

const LEAVING = ['maintenance-left', 'maintenance-unchanged', 'leave-refused', 'leave-waiting']
const entry = join(root, 'src/main.ts')
// Shared by all services under test: compiling everything anew would be most of what a start costs.
const cache = join(root, 'node_modules/.cache/myserver-test')

/** Starts the service and waits until it serves. */
export async function startService (t: Scope, options: ServiceOptions = {}): Promise<ServiceProcess> {
  const service = new ServiceProcess(t, options)
  await service.line('serving')
  return service
}

export class ServiceProcess {
  readonly child: ChildProcess
  readonly folder: string
  readonly stateDirectory: string
  readonly recordPath: string
  /** Every line on standard output that is JSON, and those that are not. */
  readonly lines: Line[] = []
  readonly otherOutput: string[] = []
  stderr = ''
  /** Resolves when the process has ended and all that it wrote is read. */
  readonly ended: Promise<Exit>
  #hasEnded = false
  #since = 0
  readonly #waiting = new Set<() => void>()

  /** Spawns it, and does not wait for anything. */
  constructor (t: Scope, { env = {}, record, folder, through = [], args = [], stdio }: ServiceOptions = {}) {
    this.folder = folder ?? newFolder(t)
    this.stateDirectory = join(this.folder, 'state')
    this.recordPath = join(this.stateDirectory, 'maintenance.json')
    if (record !== undefined) {
      mkdirSync(this.stateDirectory, { recursive: true })
      writeFileSync(this.recordPath, typeof record === 'string' ? recordOf(record) : record)
    }
    const [command = '', ...rest] = [...through, process.execPath, '--disable-sigusr1', entry, ...args]
    this.child = spawn(command, rest, {
      cwd: root,
      // Nothing of the surrounding environment: under systemd it would take the tests' notify socket for its own.
      env: {
        PATH: process.env.PATH,
        HOST: '127.0.0.1',
        PORT: '0',
        STATE_DIRECTORY: this.stateDirectory,
        RUNTIME_DIRECTORY: join(this.folder, 'run'),
        CACHE_DIRECTORY: cache,
        ...env
      },
      stdio: stdio ?? ['ignore', 'pipe', 'pipe']
    })
    const { stdout, stderr } = this.child
    if (stdout !== null) createInterface(stdout).on('line', line => this.#read(line))
    stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
      this.#look()
    })
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      this.#hasEnded = true
      this.#look()
      return { code, signal }
    })
    t.teardown(async () => {
      this.child.kill('SIGKILL')
      await this.ended
    })
  }

  get pid (): number {
    if (this.child.pid === undefined) throw new Error('the service was not started')
    return this.child.pid
  }

  get port (): number {
    return Number(this.lines.find(({ event }) => event === 'serving')?.port)
  }

  /** What stands in the record. */
  get record (): Line {
    return JSON.parse(readFileSync(this.recordPath, 'utf8'))
  }

  get hasRecord (): boolean {
    return existsSync(this.recordPath)
  }

  /** Sends a signal; {@link line} then finds only what was logged since. */
  send (...signals: readonly NodeJS.Signals[]): void {
    this.#since = this.lines.length
    for (const signal of signals) this.child.kill(signal)
  }

  /**
   * Sends SIGUSR2 and waits for what became of it. Where it came so soon after SIGUSR1 that their order cannot be
   * known, it is sent again, as the service asks for.
   */
  async leave (): Promise<void> {
    let line: Line
    do {
      this.send('SIGUSR2')
      line = await this.until('what became of SIGUSR2', () => this.lines.slice(this.#since)
        .find(({ event, by }) => by === 'SIGUSR2' && LEAVING.includes(String(event))))
    } while (String(line.msg).includes('came together'))
  }

  /** Looks from now on only at lines that come. */
  forgetLines (): void {
    this.#since = this.lines.length
  }

  /** Lines of an event since the last signal was sent. */
  linesOf (event: string): Line[] {
    return this.lines.slice(this.#since).filter(line => line.event === event)
  }

  /** The first line of an event, with the given fields, since the last signal; waits for it if need be. */
  async line (event: string, fields: Line = {}): Promise<Line> {
    return await this.until(`a line of ${event} with ${JSON.stringify(fields)}`, () => this.linesOf(event)
      .find(line => Object.entries(fields).every(([name, value]) => line[name] === value)))
  }

  /** So many lines of an event since the last signal. */
  async linesUntil (event: string, count: number): Promise<Line[]> {
    return await this.until(`${count} lines of ${event}`, () => {
      const lines = this.linesOf(event)
      return lines.length >= count ? lines : undefined
    })
  }

  /**
   * Looks after each piece of output whether something has come.
   * @throws Error if the process ends before
   */
  async until<T> (what: string, look: () => T | undefined): Promise<T> {
    return await new Promise((resolve, reject) => {
      const again = (): void => {
        const found = look()
        if (found === undefined && !this.#hasEnded) return
        this.#waiting.delete(again)
        if (found !== undefined) resolve(found)
        else reject(new Error(`the service ended before ${what}:\n${this.#output()}`))
      }
      this.#waiting.add(again)
      again()
    })
  }

  /** A request on a connection of its own. */
  async get (path = '/', headers: Readonly<Record<string, string>> = {}, socketPath?: string): Promise<Answer> {
    const target = socketPath === undefined ? { host: '127.0.0.1', port: this.port } : { socketPath }
    const message = request({ ...target, path, headers, agent: false })
    message.end()
    const [response] = await once(message, 'response')
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk)
    return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }
  }

  #read (text: string): void {
    try {
      this.lines.push(JSON.parse(text))
    } catch {
      this.otherOutput.push(text)
    }
    this.#look()
  }

  #look (): void {
    for (const look of this.#waiting) look()
  }

  #output (): string {
    return [...this.lines.map(line => JSON.stringify(line)), ...this.otherOutput, this.stderr].join('\n')
  }
}
