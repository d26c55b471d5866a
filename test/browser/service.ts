// The real service as a child process, watched through the lines it logs.

import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

export type LogLine = Readonly<Record<string, unknown>>

export interface Service {
  /** Where it serves, without a slash at the end. */
  origin: string
  /** Sends a signal and waits for the line that reports its effect. */
  signal (name: NodeJS.Signals, event: string): Promise<LogLine>
}

const root = resolve(import.meta.dirname, '../..')

/** Starts the service on a free port with folders of its own, and stops it with the test. */
export async function startService (t: { teardown (stop: () => Promise<void>): void }): Promise<Service> {
  const folder = mkdtempSync(join(tmpdir(), 'myserver-browser-'))
  const child = spawn(process.execPath, ['--disable-sigusr1', 'src/main.ts'], {
    cwd: root,
    // Nothing of the surrounding environment: under systemd it would take the tests' notify socket for its own.
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      STATE_DIRECTORY: join(folder, 'state'),
      RUNTIME_DIRECTORY: join(folder, 'run'),
      CACHE_DIRECTORY: join(folder, 'cache')
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })

  const events = new EventEmitter()
  const output: string[] = []
  const closed = once(child, 'close')
  const ended = closed.then(([code, signal]) => {
    throw new Error(`the service ended (${signal ?? code}):\n${output.join('\n')}`)
  })
  // Whoever waits for a line learns of it; nobody may be waiting.
  ended.catch(() => {})
  createInterface(child.stderr).on('line', line => output.push(line))
  createInterface(child.stdout).on('line', line => {
    output.push(line)
    const { event, ...fields } = JSON.parse(line) as LogLine
    if (typeof event === 'string') events.emit(event, fields)
  })
  t.teardown(async () => {
    child.kill('SIGTERM')
    await closed
    rmSync(folder, { recursive: true })
  })

  async function next (event: string): Promise<LogLine> {
    const [fields] = await Promise.race([once(events, event), ended])
    return fields as LogLine
  }

  const { port } = await next('serving')
  return {
    origin: `http://127.0.0.1:${Number(port)}`,
    signal (name, event) {
      const line = next(event)
      child.kill(name)
      return line
    }
  }
}
