// myserverctl hold: holds maintenance for as long as it runs. The maintenance units run it, so that a unit is active
// exactly while its claim stands.

import { paths, type EnterRequest, type Status } from '../control/protocol.ts'
import { parse, parseDuration } from './args.ts'
import type { Client } from './client.ts'
import type { Command } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { waitFor } from './waiting.ts'

export const hold: Command = {
  summary: 'hold maintenance until stopped (for systemd units)',
  help: `Usage: myserverctl hold --holder NAME [options]

Enters maintenance in a holder's name, tells systemd READY when nothing is in flight any more,
and runs until the claim ends. SIGTERM gives the claim back first. If it ends otherwise, killed
or on Ctrl-C, the claim stands: myserverctl off --holder NAME.

  --holder NAME     in whose name
  --reason TEXT     for the journal
  --for DURATION    the claim ends, and opens, after 90 (seconds), 90s, 30m or 2h
  --wait TIMEOUT    how long to wait for what is in flight (10m); then it fails, names it,
                    and maintenance stays on
  --json            print the status as JSON when drained, and at the end
  --socket PATH     the service's control socket
`,
  async run (args, connect, terminal) {
    const values = parse(args, {
      holder: { type: 'string' },
      reason: { type: 'string' },
      for: { type: 'string' },
      wait: { type: 'string', default: '10m' }
    })
    const { holder } = values
    if (holder === undefined) throw new Failure('usage', '--holder NAME is missing')
    const request: EnterRequest = {
      holder,
      ...values.reason !== undefined && { reason: values.reason },
      ...values.for !== undefined && { forMs: parseDuration('--for', values.for), then: 'check' }
    }
    const timeoutMs = parseDuration('--wait', values.wait)
    const json = values.json === true
    const tell = (text: string, status: Status): void => terminal.out(json ? JSON.stringify(status) : text)
    const terminated = terminal.terminated()
    const client = connect(values.socket)

    // The claim of one that was killed stands, with the end that it had, unless somebody has ended it.
    if (!terminal.isSuccessor()) {
      await client.call<Status>('PUT', paths.maintenance, request)
      terminal.remember()
    } else if (!await stands(client, holder)) {
      terminal.notify({ READY: 1 })
      return ended(await client.call<Status>('GET', paths.status))
    }
    const interrupted = AbortSignal.any([terminal.interrupted, terminated])
    try {
      tell('maintenance is on and nothing is in flight',
        await waitFor({ until: 'drained', holder, timeoutMs, json }, client, { ...terminal, interrupted }))
    } catch (error) {
      if (terminated.aborted) return await giveBack()
      if (!(error instanceof Failure) || error.code !== exitCodes.refused || !await stands(client, holder)) throw error
      throw new Failure('refused', `${error.message}\nThe claim stands; to give it back: myserverctl off --holder ${holder}`)
    }
    terminal.notify({ READY: 1, STATUS: 'maintenance is on and drained' })

    for await (const { status } of client.follow(interrupted, Infinity)) {
      if (!isHeld(status, holder)) return ended(status)
    }
    if (terminated.aborted) return await giveBack()
    throw new Failure('interrupted', `stopped holding. The claim stands; to give it back: myserverctl off --holder ${holder}`)

    function ended (status: Status): number {
      tell(`the claim of ${holder} has ended; the service is ${status.mode === 'live' ? 'live' : 'in maintenance'}`, status)
      return exitCodes.done
    }

    async function giveBack (): Promise<number> {
      terminal.notify({ STOPPING: 1, STATUS: 'giving maintenance back' })
      const query = `holder=${encodeURIComponent(holder ?? '')}`
      tell(`the claim of ${holder} was given back`, await client.call<Status>('DELETE', `${paths.maintenance}?${query}`))
      // A restart of the unit keeps what systemd stores, and the process after this one claims anew.
      terminal.forget()
      return exitCodes.done
    }
  }
}

async function stands (client: Client, holder: string): Promise<boolean> {
  return isHeld(await client.call<Status>('GET', paths.status), holder)
}

function isHeld ({ holders }: Status, holder: string): boolean {
  return holders.some(({ name }) => name === holder)
}
