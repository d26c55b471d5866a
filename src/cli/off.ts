// myserverctl off: leaves maintenance.

import { paths, type Status } from '../control/protocol.ts'
import { parse } from './args.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import { renderStatus } from './render.ts'

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
    const query = new URLSearchParams()
    if (values.force === true) query.set('force', 'true')
    if (values.holder !== undefined) query.set('holder', values.holder)
    const status = await connect(values.socket).call<Status>('DELETE', `${paths.maintenance}?${query.toString()}`)
    terminal.out(values.json === true ? JSON.stringify(status) : renderStatus(status, new Date()))
    return exitCodes.done
  }
}
