// myserverctl on: enters maintenance, or changes what was said about it.

import { OPERATOR, endings, paths, type Entered, type EnterRequest, type Outcome, type Status } from '../control/protocol.ts'
import { parse, parseDuration, parseTime } from './args.ts'
import type { Command } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { renderStatus } from './render.ts'
import { waitFor } from './waiting.ts'

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
    const timeoutMs = values.wait ? parseDuration('--wait', values.wait) : undefined
    const request: EnterRequest = {
      holder: values.holder ?? OPERATOR,
      ...values.reason !== undefined && { reason: values.reason },
      ...values.message !== undefined && { message: values.message },
      ...values.for !== undefined && { forMs: parseDuration('--for', values.for) },
      ...values.until !== undefined && { until: parseTime('--until', values.until, new Date()).toISOString() },
      ...then !== undefined && { then }
    }

    const client = connect(values.socket)
    const json = values.json === true
    const { outcome, ...entered } = await client.call<Entered>('PUT', paths.maintenance, request)
    let status: Status = entered
    if (!json && outcome !== 'entered') terminal.out(TOLD[outcome])
    if (values.wait !== undefined && !status.drained) {
      if (!json && status.inFlight > 0) terminal.out(`maintenance is on; ${status.inFlight} in flight, waiting`)
      try {
        status = await waitFor({ until: 'drained', holder: request.holder, timeoutMs, json }, client, terminal)
      } catch (error) {
        if (values.cut === true && error instanceof Failure && error.code === exitCodes.refused) {
          const { cut } = await client.call<{ cut: number }>('DELETE', paths.connections)
          throw new Failure('refused', `${error.message}\ncut ${cut} connections; what their handlers do goes on: myserverctl wait --drained`)
        }
        throw error
      }
    }
    terminal.out(json ? JSON.stringify(status) : renderStatus(status, new Date()))
    return exitCodes.done
  }
}
