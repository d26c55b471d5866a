// myserverctl wait: for scripts that entered or left by a signal.

import { parse, parseDuration } from './args.ts'
import type { Command } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { renderStatus } from './render.ts'
import { waitFor } from './waiting.ts'

export const wait: Command = {
  summary: 'wait until the service is drained or live',
  help: `Usage: myserverctl wait --drained|--live [options]

  --drained            return when maintenance is on and nothing is in flight any more; a service
                       that is live has two seconds to take a signal, then exit 1
  --live               return when maintenance is off
  --timeout DURATION   exit 1 after so long: 90 (seconds), 90s, 30m, 2h
  --json               print the status as JSON, on timeout too
  --socket PATH        the service's control socket
`,
  async run (args, connect, terminal) {
    const values = parse(args, { drained: { type: 'boolean' }, live: { type: 'boolean' }, timeout: { type: 'string' } })
    if (values.drained === values.live) throw new Failure('usage', 'expected either --drained or --live')
    const json = values.json === true
    const status = await waitFor({
      until: values.drained === true ? 'drained' : 'live',
      timeoutMs: values.timeout === undefined ? undefined : parseDuration('--timeout', values.timeout),
      json
    }, connect(values.socket), terminal)
    terminal.out(json ? JSON.stringify(status) : renderStatus(status, new Date()))
    return exitCodes.done
  }
}
