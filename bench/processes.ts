// The processes that are measured: the service and its peers. Whatever is in `children` is ended with the benchmark.

import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fetchRaw } from './client.ts'
import { root } from './defaults.ts'

// /tmp is memory on many systems; here the disk is part of what is measured.
export const scratch = mkdtempSync('/var/tmp/myserver-bench-')
const START_LIMIT_MS = 30_000
export const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

export interface Running {
  readonly port: number
  readonly pid: number
  readonly child: ChildProcess
  stop (): Promise<void>
}

export interface ServiceOptions {
  env?: Record<string, string>
  /** Mode that the record tells. */
  mode?: 'live' | 'maintenance'
  stateDirectory?: string
  /** Default: all services share one, which is warm after the first. */
  cacheDirectory?: string
  /** Where standard output goes. Default: nowhere. */
  stdout?: 'ignore' | 'pipe' | NodeJS.WritableStream
}

/** Starts the service as its unit does, at once; {@link whenAnswering} tells when it serves. */
export async function spawnService (options: ServiceOptions = {}): Promise<Running> {
  const { mode = 'live', stateDirectory = mkdtempSync(join(scratch, 'state-')) } = options
  const { cacheDirectory = join(scratch, 'cache'), stdout = 'ignore' } = options
  mkdirSync(stateDirectory, { recursive: true })
  writeFileSync(join(stateDirectory, 'maintenance.json'),
    JSON.stringify({ version: 1, mode, since: new Date(), by: 'bench' }) + '\n')
  return await spawnNode(['--disable-sigusr1', join(root, 'src/main.ts')], {
    HOST: '127.0.0.1',
    LOG_LEVEL: 'warn',
    STATE_DIRECTORY: stateDirectory,
    // Where the control socket is: each service needs one of its own.
    RUNTIME_DIRECTORY: stateDirectory,
    CACHE_DIRECTORY: cacheDirectory,
    NODE_COMPILE_CACHE: join(cacheDirectory, 'compile'),
    ...options.env
  }, ['ignore', stdout, 'inherit'] as StdioOptions)
}

/** @returns when it serves */
export async function startService (options: ServiceOptions = {}): Promise<Running> {
  return await whenAnswering(await spawnService(options))
}

/** @param kind as bench/peer.ts lists them @param answer what `bare` answers @returns when it serves */
export async function startPeer (kind: string, answer = ''): Promise<Running> {
  const file = join(scratch, 'answer')
  writeFileSync(file, answer, 'latin1')
  const peer = await spawnNode([join(root, 'bench/peer.ts'), kind], { ANSWER: file }, ['ignore', 'ignore', 'inherit'])
  return await whenAnswering(peer)
}

/** @returns the process's resident and proportional memory, in bytes */
export function memoryOf ({ pid }: Running): { rss: number, pss: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1])
  return { rss: kibibytes('Rss') * 1024, pss: kibibytes('Pss') * 1024 }
}

/** @returns seconds of processor time that all threads of the process have had */
export function processorSeconds ({ pid }: Running): number {
  let nanoseconds = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
  }
  return nanoseconds / 1e9
}

/** @param status what it is to answer; default: anything */
export async function whenAnswering (running: Running, status?: number): Promise<Running> {
  const deadline = performance.now() + START_LIMIT_MS
  for (;;) {
    if (performance.now() > deadline) throw new Error(`process ${running.pid} does not answer as it should`)
    if (running.child.exitCode !== null) throw new Error(`a measured process ended with ${running.child.exitCode}`)
    const answer = await fetchRaw(running.port).catch(() => '')
    if (answer.startsWith(`HTTP/1.1 ${status ?? ''}`)) return running
    await sleep(1)
  }
}

async function spawnNode (args: string[], env: Record<string, string>, stdio: StdioOptions): Promise<Running> {
  const port = await freePort()
  const child = spawn(process.execPath, args, {
    cwd: root, stdio, env: { NODE_ENV: 'production', PORT: String(port), ...env }
  })
  children.add(child)
  const ended = once(child, 'exit').then(() => { children.delete(child) })
  return {
    port,
    pid: child.pid ?? 0,
    child,
    async stop () {
      child.kill('SIGKILL')
      await ended
    }
  }
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
