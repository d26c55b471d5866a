// myserverctl in a machine: how the tests ask it, run it beside other things, and keep a request in flight meanwhile.

import type { Test } from 'tap'
import type { Status } from '../../src/control/protocol.ts'
import type { Result } from './commands.ts'
import type { Machine } from './machine.ts'
import { bootInstalled, visit, type Answer } from './product.ts'
import type { Suite } from './suites.ts'

export const settings = '/etc/myserver/myserver.env'
const released = '/srv/released'

/** A machine on which myserver serves slow-application.ts. */
export async function bootWithSlowRequest (t: Test, suite: Suite): Promise<Machine> {
  const machine = await bootInstalled(t, suite)
  await machine.run(`
    set -e
    cp /src/test/system/slow-application.ts /srv/application.mts
    echo APP=/srv/application.mts >>${settings}
    systemctl restart myserver`)
  return machine
}

/** A request that is in flight until {@link release}. @returns what it is answered, when it is */
export async function holdRequest (machine: Machine): Promise<{ answer: Promise<Answer> }> {
  await machine.run(`rm -f ${released}`)
  const answer = visit(machine, '/slow', '--max-time 100')
  // Whoever waits for it hears of it all the same.
  answer.catch(() => {})
  await untilControl(machine, ({ inFlight }) => inFlight === 1)
  return { answer }
}

export async function release (machine: Machine): Promise<void> {
  await machine.run(`touch ${released}`)
}

/** Runs a command while the test goes on. */
export function begin (machine: Machine, command: string): { isOver (): boolean, result: Promise<Result> } {
  let over = false
  const result = machine.run(command, { expectCode: 'any' }).finally(() => { over = true })
  return { isOver: () => over, result }
}

const ask = 'myserverctl status --json'

export async function control (machine: Machine): Promise<Status> {
  return parse(await machine.run(ask))
}

/** Asks myserverctl again and again until `predicate` holds for the status. */
export async function untilControl (machine: Machine, predicate: (status: Status) => boolean): Promise<Status> {
  return parse(await machine.waitFor(ask, result => result.code === 0 && predicate(parse(result))))
}

export function holderNames ({ holders }: Status): string[] {
  return holders.map(({ name }) => name)
}

export function isDrained ({ mode, drained }: Status): boolean {
  return mode === 'maintenance' && drained
}

export function isLive ({ mode }: Status): boolean {
  return mode === 'live'
}

/** Waits until systemd sees the unit in this state. */
export async function untilActive (machine: Machine, unit: string, state: 'active' | 'activating' | 'inactive' | 'failed'): Promise<void> {
  await machine.waitFor(`systemctl show -p ActiveState --value ${unit}`, ({ stdout }) => stdout.trim() === state)
}

/** What the unit's processes, and systemd about it, said since this boot. */
export async function journalOf (machine: Machine, unit: string): Promise<string> {
  return await machine.journal(`--boot --output cat --unit ${unit}`)
}

function parse ({ stdout }: Result): Status {
  return JSON.parse(stdout) as Status
}
