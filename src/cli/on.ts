// myserverctl on: enters maintenance, or changes what was said about it.

import { setTimeout as sleep } from 'node:timers/promises'
import { OPERATOR, endings, parseEnter, type Outcome, type Status } from '../control/protocol.ts'
import { messageOf } from '../errors.ts'
import { checkFields, parse, parseDuration, parseTime } from './args.ts'
import type { Client } from './client.ts'
import type { Command } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { plural, renderStatus, unansweredOf } from './render.ts'
import { waitFor } from './waiting.ts'

const MOMENT_MS = 1_000
const POLL_MS = 20
const TOLD: Readonly<Record<Exclude<Outcome, 'entered'>, string>> = {
  joined: 'maintenance was on already; one more holds it now',
  updated: 'maintenance was on already; what was said about it is updated',
  unchanged: 'maintenance was on already'
}

export const on: Command = {
  summary: 'enter maintenance, or change its reason, message or end',
  help: `Usage: myserverctl on [options]

Enters maintenance. Where it is on already, only what is given is changed.

  --reason TEXT     for the journal
  --message TEXT    for the public page
  --for DURATION    ends after 90 (seconds), 90s, 30m or 2h
  --until TIME      ends at 15:00, 2026-12-01T03:30 or 2026-12-01T03:30Z
  --then WHAT       at the end: stay (the default: stay in maintenance and complain), open,
                    or check (open once MAINTENANCE_CHECK passes)
  --wait[=TIMEOUT]  return when nothing is in flight any more; on timeout exit 1 and name
                    what is, with maintenance staying on
  --cut             then, at the timeout, close the connections of what is still in flight
  --holder NAME     in whose name (operator); maintenance is on while anybody holds it
  --json            print the status as JSON
  --socket PATH     the service's control socket
`,
  async run (args, connect, terminal) {
    const values = parse(args, {
      reason: { type: 'string' },
      message: { type: 'string' },
      for: { type: 'string' },
      until: { type: 'string' },
      then: { type: 'string' },
      wait: { type: 'string' },
      cut: { type: 'boolean' },
      holder: { type: 'string' }
    }, ['--wait'])
    if (values.for !== undefined && values.until !== undefined) throw new Failure('usage', '--for and --until: expected one of them')
    if (values.cut === true && !values.wait) throw new Failure('usage', '--cut goes with --wait=TIMEOUT: it cuts at the timeout')
    const then = endings.find(ending => ending === values.then)
    if (values.then !== undefined && then === undefined) {
      throw new Failure('usage', `--then ${values.then}: expected one of ${endings.join(', ')}`)
    }
    const isEnding = values.for !== undefined || values.until !== undefined
    if (then !== undefined && !isEnding) throw new Failure('usage', `--then ${then} goes with --for or --until: there is no end without them`)
    const timeoutMs = values.wait ? parseDuration('--wait', values.wait) : undefined
    const now = new Date()
    const request = checkFields(() => parseEnter({
      holder: values.holder ?? OPERATOR,
      reason: values.reason,
      message: values.message,
      forMs: values.for === undefined ? undefined : parseDuration('--for', values.for),
      until: values.until === undefined ? undefined : parseTime('--until', values.until, now).toISOString(),
      then
    }, now))

    const client = connect(values.socket)
    const json = values.json === true
    const { outcome, ...entered } = await client.enter(request)
    let status: Status = entered
    if (!json && outcome !== 'entered') terminal.out(TOLD[outcome])
    if (values.wait !== undefined && !status.drained) {
      if (!json && status.inFlight > 0) terminal.out(`maintenance is on; ${status.inFlight} in flight, waiting`)
      try {
        status = await waitFor({ until: 'drained', holder: request.holder, timeoutMs, json, heard: entered }, client, terminal)
      } catch (error) {
        if (values.cut !== true || !(error instanceof Failure) || error.kind !== 'timeout') throw error
        throw new Failure('timeout', `${error.message}\n${await cut(client)}`)
      }
    }
    status = await inAMoment(status, client)
    terminal.out(json ? JSON.stringify(status) : renderStatus(status, new Date()))
    return exitCodes.done
  }
}

/** Where nothing is in flight only the application's hooks are to run, which most have none of. */
async function inAMoment (status: Status, client: Client): Promise<Status> {
  const untilMs = performance.now() + MOMENT_MS
  while (status.mode === 'maintenance' && !status.drained && status.inFlight === 0 && performance.now() < untilMs) {
    await sleep(POLL_MS)
    status = await client.status()
  }
  return status
}

/** @returns what became of it */
async function cut (client: Client): Promise<string> {
  try {
    const count = await client.cut()
    const stuck = unansweredOf(await client.status())
    return [`cut ${plural(count, 'connection')}; what ${count === 1 ? 'its handler does' : 'their handlers do'} goes on: myserverctl wait --drained`,
      ...stuck.map(({ worker }) => `worker ${worker} does not answer, and cuts its connections as soon as it does`)].join('\n')
  } catch (error) {
    return `cutting connections has failed: ${messageOf(error)}`
  }
}
