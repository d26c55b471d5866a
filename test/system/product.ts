// myserver in a machine: how the tests install it, switch it and look at it.

import type { Test } from 'tap'
import { createHash } from 'node:crypto'
import { existsSync, globSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { boot, buildRoot, checkout, type Disk, type Machine } from './machine.ts'
import type { Suite } from './suites.ts'

export const port = 17990
export const url = `http://localhost:${port}`
export const recordFile = '/var/lib/myserver/maintenance.json'

/** What decides what an installation looks like. */
const sources = ['install.sh', 'package.json', 'package-lock.json', '{src,public,systemd,examples}/**']

/** A machine without myserver. */
export async function bootBare (t: Test, suite: Suite): Promise<Machine> {
  return await boot(t, { suite, port })
}

/** A machine that booted with myserver installed, and live. */
export async function bootInstalled (t: Test, suite: Suite): Promise<Machine> {
  return await boot(t, { suite, port, disk: await installedDisk(t, suite) })
}

/** An installation takes long, so its disk is kept beside the roots for as long as its sources are the same. */
async function installedDisk (t: Test, suite: Suite): Promise<Disk> {
  const root = await buildRoot(suite)
  const prefix = `installed-${suite.name}-`
  const kept = join(dirname(root), `${prefix}${hashSources(basename(root))}`)
  if (!existsSync(kept)) {
    const machine = await bootBare(t, suite)
    await machine.run('/src/install.sh')
    await machine.run('systemctl stop myserver && sync')
    const [layer] = (await machine.freeze(t)).layers
    for (const entry of readdirSync(dirname(root))) {
      if (entry.startsWith(prefix)) rmSync(join(dirname(root), entry), { recursive: true, force: true })
    }
    renameSync(layer ?? '', kept)
  }
  return { layers: [kept] }
}

function hashSources (root: string): string {
  const hash = createHash('sha256').update(root)
  for (const file of globSync(sources, { cwd: checkout }).sort()) {
    const path = join(checkout, file)
    if (statSync(path).isFile()) hash.update(`\n${file}\n`).update(readFileSync(path))
  }
  return hash.digest('hex').slice(0, 12)
}

export interface Answer {
  status: number
  /** Status line and headers, as they came. */
  head: string
  body: string
}

/** What curl gets from the service; `options` are curl's. */
export async function visit (machine: Machine, path = '/', options = ''): Promise<Answer> {
  const { stdout } = await machine.run(`curl --silent --show-error --max-time 20 --include ${options} '${url}${path}'`)
  const end = stdout.indexOf('\r\n\r\n')
  const head = stdout.slice(0, end)
  return { status: Number(head.split(' ')[1]), head, body: stdout.slice(end + 4) }
}

/** Switches maintenance on and waits until the service says that it has drained. */
export async function enter (machine: Machine): Promise<void> {
  await machine.run('systemctl kill -s SIGUSR1 myserver')
  await untilStatus(machine, /^maintenance since .*, drained/)
}

/** Switches maintenance off and waits until the service says that it is live. */
export async function leave (machine: Machine): Promise<void> {
  await machine.run('systemctl kill -s SIGUSR2 myserver')
  await untilStatus(machine, /^live$/)
}

export async function untilStatus (machine: Machine, status: RegExp): Promise<string> {
  const { stdout } = await machine.waitFor(
    'systemctl show -p StatusText --value myserver', ({ stdout }) => status.test(stdout.trim()))
  return stdout.trim()
}

/** The process id of the service, within the machine. */
export async function mainPid (machine: Machine): Promise<number> {
  return Number(await machine.property('MainPID'))
}

/** Waits until the service runs as another process than `before`, and serves. */
export async function untilReplaced (machine: Machine, before: number): Promise<void> {
  await machine.waitFor(
    'systemctl show -p MainPID -p ActiveState -p SubState --value myserver | xargs',
    ({ stdout }) => {
      const [pid, active, sub] = stdout.trim().split(' ')
      return Number(pid) !== before && active === 'active' && sub === 'running'
    }, 60_000)
}

/** A line that the service wrote to the journal. */
export interface LogLine { event?: string, msg?: string, level?: number, [field: string]: unknown }

/** The service's lines since this boot, oldest first, that are JSON; systemd's own are left out. */
export async function logLines (machine: Machine, options = ''): Promise<LogLine[]> {
  const text = await machine.journal(`--boot --output cat --identifier myserver ${options}`)
  return text.split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line) as LogLine)
}

/** How often the service wrote `event` since this boot. */
export async function countEvents (machine: Machine, event: string): Promise<number> {
  return (await logLines(machine)).filter(line => line.event === event).length
}
