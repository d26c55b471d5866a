// myserverctl off: leaves maintenance.

import { parseHolder } from '../control/protocol.ts'
import { checkFields, parse } from './args.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import { renderStatus } from './render.ts'
import { isHeld } from './waiting.ts'

export const off: Command = {
  summary: 'leave maintenance',
  help: `Usage: myserverctl off [options]

Leaves maintenance: waits until the application serves, and opens if MAINTENANCE_CHECK passes.

  --force         open without the check
  --holder NAME   give back this holder's claim only; maintenance stays on while others hold it
  --json          print the status as JSON
  --socket PATH   the service's control socket
`,
  async run (args, connect, terminal) {
    const values = parse(args, { force: { type: 'boolean' }, holder: { type: 'string' } })
    const holder = values.holder === undefined ? undefined : checkFields(() => parseHolder(values.holder))
    const client = connect(values.socket)
    // Leaving what is left already is no failure, but it may be a slip of the pen.
    if (holder !== undefined && !isHeld(await client.status(), holder)) terminal.err(`nobody of the name ${holder} holds maintenance`)
    const status = await client.leave({ force: values.force === true, ...holder !== undefined && { holder } })
    terminal.out(values.json === true ? JSON.stringify(status) : renderStatus(status, new Date()))
    return exitCodes.done
  }
}
