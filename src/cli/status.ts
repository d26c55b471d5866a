// myserverctl status: how things stand.

import type { Status } from '../control/protocol.ts'
import { parse } from './args.ts'
import type { Command } from './command.ts'
import { exitCodes } from './failure.ts'
import { AWAY } from './progress.ts'
import { renderStatus, viewStatus } from './render.ts'
import type { View } from './view.ts'

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
    const json = values.json === true
    const show = (status: Status): void => terminal.out(json ? JSON.stringify(status) : renderStatus(status, new Date()))
    if (values.watch !== true) {
      show(await client.status())
      return exitCodes.done
    }
    const redraw = json ? undefined : terminal.redraw
    let view: View | undefined
    let told = ''
    for await (const heard of client.follow(terminal.interrupted)) {
      if (heard === 'away') {
        told = ''
        if (redraw === undefined) (json ? terminal.err : terminal.out)(AWAY)
        else redraw({ list: [], unnamed: 0, foot: [], ...view, head: [AWAY, ...view?.head ?? []] })
        continue
      }
      const news = JSON.stringify(withoutBeats(heard))
      if (redraw !== undefined) redraw(view = viewStatus(heard, new Date()))
      else if (news !== told) show(heard)
      told = news
    }
    return exitCodes.done
  }
}

// How long ago a worker has beaten changes all the time, and is no news: its state says when it hangs.
function withoutBeats ({ workers, stragglers, ...status }: Status): unknown {
  return { ...status, workers: workers.map(withoutBeat), stragglers: stragglers.map(straggler => 'silentMs' in straggler ? withoutBeat(straggler) : straggler) }
}

function withoutBeat<T extends { silentMs: number }> ({ silentMs, ...worker }: T): Omit<T, 'silentMs'> {
  return worker
}
