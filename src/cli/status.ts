// myserverctl status: how things stand.

import { paths, type Status } from '../control/protocol.ts'
import { parse } from './args.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import { renderStatus } from './render.ts'

export const status: Command = {
  summary: 'show mode, holders, and what is in flight',
  help: `Usage: myserverctl status [options]

Shows the mode, since when, who asked for it and why, what is in flight, and the workers.

  --watch         keep showing it until Ctrl-C
  --json          print JSON; with --watch a line for each change
  --socket PATH   the service's control socket
`,
  async run (args, connect, terminal) {
    const values = parse(args, { watch: { type: 'boolean' } })
    const client = connect(values.socket)
    const show = (status: Status): string => values.json === true ? JSON.stringify(status) : renderStatus(status, new Date())
    if (values.watch !== true) {
      terminal.out(show(await client.call<Status>('GET', paths.status)))
      return exitCodes.done
    }
    const redraw = values.json === true ? undefined : terminal.redraw
    let told = ''
    for await (const { status } of client.follow(terminal.interrupted)) {
      const news = JSON.stringify(withoutBeats(status))
      if (redraw !== undefined) redraw(show(status))
      else if (news !== told) terminal.out(show(status))
      told = news
    }
    return exitCodes.done
  }
}

// How long ago a worker has beaten changes all the time, and is no news: its state says when it hangs.
function withoutBeats ({ workers, ...status }: Status): unknown {
  return { ...status, workers: workers.map(({ silentMs, ...worker }) => worker) }
}
