// A throw-away Debian with a real systemd as its first process, in systemd-nspawn. It has the
// host's network: what listens on loopback in the machine is reached from the test. It knows
// nothing of what is tested in it, but for the name of the unit.

import type { Test } from 'tap'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { execute, expectCode, lastWords, poll, type Result } from './commands.ts'
import { hostEnvironment, hostFiles } from './host-files.ts'
import { childrenOf, exitOnSignals, expectFree, findLeader, lockLoopback, nameMachine, removeLeftovers, removeMachine } from './host.ts'
import type { Suite } from './suites.ts'

const here = import.meta.dirname
export const checkout = join(here, '..', '..')
const bootMs = 60_000
const environment = [
  'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8'
]

/** What machines wrote to their disks on top of a bare root: the newest layer first. */
export interface Disk { layers: readonly string[] }

export interface BootOptions {
  suite: Suite
  /** The frozen disk of an earlier machine of the same suite, instead of the bare root. */
  disk?: Disk | undefined
  /** A port that the test will need, and that nothing else on the host may have. */
  port?: number
}

export interface RunOptions {
  /** Any other exit code makes `run` throw; 'any' is never wrong. Default: 0. */
  expectCode?: number | 'any'
  /** How long the command may take. Default: 120 s. */
  timeoutMs?: number
}

/**
 * Boots a machine on a fresh copy of the suite's root, or on top of `disk`. The checkout is in it
 * as /src, read-only. There is one machine at a time. It is gone at the end of `t`, at the latest.
 */
export async function boot (t: Test, { suite, disk = { layers: [] }, port }: BootOptions): Promise<Machine> {
  const root = await buildRoot(suite)
  exitOnSignals()
  const unlock = await lockLoopback()
  if (port !== undefined) await expectFree(port)
  removeLeftovers(dirname(root))
  const machine = new Machine(root, disk, unlock)
  t.teardown(async () => {
    if (machine.isUp && !t.passing()) console.error(await machine.journal('--boot --unit myserver --lines 60'))
    await machine.stop()
  })
  await machine.untilBooted()
  return machine
}

/** The folder of the suite's root, which is built if it is not there yet. */
export async function buildRoot (suite: Suite): Promise<string> {
  const builder = join(here, 'make-root.sh')
  return expectCode(builder, await execute([builder, suite.name]), 0).stdout.trim()
}

let count = 0

export class Machine {
  /** The process id of the machine's first process, as the host sees it; 0 before there is one. */
  leader = 0
  isUp = true
  readonly #disk: Disk
  readonly #name: string
  readonly #work: string
  readonly #supervisor: ChildProcess
  readonly #unlock: () => void
  readonly #onExit = (): void => { this.#kill(); this.#remove() }
  #console = ''

  constructor (root: string, disk: Disk, unlock: () => void) {
    const { name, work } = nameMachine(dirname(root), ++count)
    this.#disk = disk
    this.#name = name
    this.#work = work
    this.#unlock = unlock
    mkdirSync(join(work, 'host'), { recursive: true, mode: 0o700 })
    for (const { path, content } of hostFiles()) {
      mkdirSync(join(work, 'host', dirname(path)), { recursive: true })
      writeFileSync(join(work, 'host', path), content)
    }
    process.on('exit', this.#onExit)
    // Killed by the kernel when the test dies, and with it everything in its namespaces.
    this.#supervisor = spawn('setpriv', [
      '--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private',
      '--pid', '--fork', '--kill-child=KILL', '--mount-proc', join(here, 'boot-machine.sh'),
      [...disk.layers, root].join(':'), work, name, checkout, join(dirname(root), 'npm-cache')
    ], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#supervisor.stdout, this.#supervisor.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => { this.#console += text })
    }
  }

  /** Runs a shell command in the machine, as root, with a plain environment and without input. */
  async run (command: string, { expectCode: code = 0, timeoutMs = 120_000 }: RunOptions = {}): Promise<Result> {
    const result = await execute([
      'nsenter', '--target', String(this.leader), '--all', '--', 'env', '-i', ...environment, ...hostEnvironment(),
      'timeout', '--kill-after=5', String(timeoutMs / 1000), 'sh', '-c', command
    ])
    return code === 'any' ? result : expectCode(command, result, code)
  }

  /** Runs `command` again and again until `predicate` holds for its result, and answers that. */
  async waitFor (command: string, predicate: (result: Result) => boolean, deadlineMs = 30_000): Promise<Result> {
    let last: Result | undefined
    try {
      return await poll(command, deadlineMs, async () => {
        last = await this.run(command, { expectCode: 'any' })
        return predicate(last) ? last : undefined
      })
    } catch (cause) {
      throw new Error(`it never got as it should: ${command}\n${last === undefined ? '' : lastWords(last)}`, { cause })
    }
  }

  /** What journalctl prints, given these arguments. */
  async journal (args = ''): Promise<string> {
    return (await this.run(`journalctl --no-pager ${args}`, { expectCode: 'any' })).stdout
  }

  /** The status text of the unit, as the service last reported it. */
  async status (unit = 'myserver'): Promise<string> {
    return await this.property('StatusText', unit)
  }

  /** One property of the unit, as systemd sees it. */
  async property (name: string, unit = 'myserver'): Promise<string> {
    return (await this.run(`systemctl show -p ${name} --value ${unit}`)).stdout.trim()
  }

  /** Reboots the machine in an orderly way. Its disk stays, and nothing else. */
  async reboot (): Promise<void> {
    const before = this.leader
    await this.run('systemctl reboot', { expectCode: 'any' })
    await poll('the machine to go down', bootMs, async () => {
      return findLeader(this.#supervisor.pid ?? 0) === before ? undefined : true
    })
    await this.untilBooted()
  }

  /** Waits until systemd has started all that it has to start. */
  async untilBooted (): Promise<void> {
    await poll(`${this.#name} to boot`, bootMs, async () => {
      if (this.#hasEnded()) throw new Error(`systemd-nspawn ended:\n${this.#console}`)
      this.leader = findLeader(this.#supervisor.pid ?? 0) ?? 0
      if (this.leader === 0) return undefined
      const { stdout } = await this.run('systemctl is-system-running', { expectCode: 'any' })
      return /^(running|degraded)$/m.test(stdout) ? true : undefined
    })
  }

  /** Cuts the machine's power and keeps what it wrote to its disk, until `t` ends. */
  async freeze (t: Test): Promise<Disk> {
    const layer = `${this.#work}-frozen`
    await this.#cutPower()
    t.teardown(() => { rmSync(layer, { recursive: true, force: true }) })
    renameSync(join(this.#work, 'upper'), layer)
    this.#remove()
    return { layers: [layer, ...this.#disk.layers] }
  }

  /** Cuts the machine's power and removes it. */
  async stop (): Promise<void> {
    if (!this.isUp) return
    await this.#cutPower()
    this.#remove()
  }

  async #cutPower (): Promise<void> {
    const ended = this.#hasEnded() ? undefined : once(this.#supervisor, 'exit')
    this.#kill()
    await ended
  }

  /** The supervisor ends only after its child, which takes its whole process namespace with it. */
  #kill (): void {
    if (this.#hasEnded()) return
    const [init] = childrenOf(this.#supervisor.pid ?? 0)
    if (init === undefined) this.#supervisor.kill('SIGKILL')
    else process.kill(init, 'SIGKILL')
  }

  #remove (): void {
    this.isUp = false
    process.off('exit', this.#onExit)
    removeMachine(this.#name, this.#work)
    this.#unlock()
  }

  #hasEnded (): boolean {
    return this.#supervisor.exitCode !== null || this.#supervisor.signalCode !== null
  }
}
