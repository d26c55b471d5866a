// myserverctl hold: holds maintenance for as long as it runs. The maintenance units run it, so that a unit is active
// exactly while its claim stands.

import { setTimeout as sleep } from 'node:timers/promises'
import { parseEnter, type Status } from '../control/protocol.ts'
import { checkFields, parse, parseDuration } from './args.ts'
import { RESTART_MS, type Client } from './client.ts'
import type { Command, Terminal } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { isHeld, waitFor } from './waiting.ts'

// The service may be away for as long as it likes; how long a unit may take to stop is systemd's to know.
const PATIENCE_MS = Infinity
const RETRY_MS = 500

type Claim = 'stands' | 'may stand'

export const hold: Command = {
  summary: 'hold maintenance until stopped (for systemd units)',
  help: `Usage: myserverctl hold --holder NAME [options]

Enters maintenance in a holder's name, tells systemd READY when nothing is in flight any more,
and runs until the claim ends. SIGTERM gives the claim back first, and waits half a minute for a
service that is away. If it ends otherwise, killed or on Ctrl-C, the claim stands:
myserverctl off --holder NAME.

  --holder NAME     in whose name
  --reason TEXT     for the journal
  --for DURATION    the claim ends, and opens, after 90 (seconds), 90s, 30m or 2h
  --wait=TIMEOUT    how long to wait for what is in flight (10m); then it fails, names it,
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
    const request = checkFields(() => parseEnter({
      holder,
      reason: values.reason,
      ...values.for !== undefined && { forMs: parseDuration('--for', values.for), then: 'check' }
    }, new Date()))
    const timeoutMs = parseDuration('--wait', values.wait)
    const json = values.json === true
    const tell = (text: string, status: Status): void => terminal.out(json ? JSON.stringify(status) : text)
    const terminated = terminal.terminated()
    const client = connect(values.socket)
    const interrupted = AbortSignal.any([terminal.interrupted, terminated])
    let claim: Claim = 'may stand'
    try {
      let heard: Status | undefined
      if (terminal.isSuccessor()) {
        // Its claim stands, with the end that it had, unless somebody has ended it.
        claim = 'stands'
        heard = await firstOf(client, interrupted)
      } else {
        heard = await client.enter(request)
        claim = 'stands'
        terminal.remember()
      }
      if (heard !== undefined && !isHeld(heard, holder)) {
        terminal.notify({ READY: 1 })
        return ended(heard)
      }
      const drained = await waitFor({
        until: 'drained', holder, timeoutMs, json, patienceMs: PATIENCE_MS, ...heard !== undefined && { heard }
      }, client, { ...terminal, interrupted })
      tell('maintenance is on and nothing is in flight', drained)
      terminal.notify({ READY: 1, STATUS: 'maintenance is on and drained' })
      for await (const now of client.follow(interrupted, PATIENCE_MS)) {
        if (now !== 'away' && !isHeld(now, holder)) return ended(now)
      }
      throw new Failure('interrupted', 'stopped holding')
    } catch (error) {
      // Where nothing could be asked nothing is held.
      if (claim === 'may stand' && error instanceof Failure && error.kind === 'unreachable') throw error
      if (!terminated.aborted) throw withClaim(error, holder, claim)
    }
    terminal.notify({ STOPPING: 1, STATUS: 'giving maintenance back' })
    const left = await giveBack(holder, client, terminal)
    tell(`the claim of ${holder} was given back`, left)
    // A restart of the unit keeps what systemd stores, and the process after this one claims anew.
    terminal.forget()
    return exitCodes.done

    function ended (status: Status): number {
      tell(`the claim of ${holder} has ended; the service is ${status.mode === 'live' ? 'live' : 'in maintenance'}`, status)
      return exitCodes.done
    }
  }
}

async function firstOf (client: Client, signal: AbortSignal): Promise<Status | undefined> {
  for await (const heard of client.follow(signal, PATIENCE_MS)) {
    if (heard !== 'away') return heard
  }
  return undefined
}

/** Ends the claim; over a restart of the service too, but whoever stops both for good must not wait for ever. */
async function giveBack (holder: string, client: Client, { err, notify }: Terminal): Promise<Status> {
  let hasTold = false
  let isLate = false
  const timer = setTimeout(() => { isLate = true }, RESTART_MS)
  try {
    while (true) {
      try {
        return await client.leave({ holder, force: false })
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        if (error.kind !== 'unreachable' && error.kind !== 'lost') throw saying(error, holder, 'stands')
        // At the end of a shutdown there is no manager any more, and nobody to wait for: systemd-shutdown(8).
        const isManaged = notify({ STATUS: 'waiting for the service, to give maintenance back' })
        if (!isManaged || isLate) throw saying(error, holder, 'stands')
        if (!hasTold) err(`the service is away; the claim of ${holder} stands, and is given back as soon as it answers`)
        hasTold = true
      }
      await sleep(RETRY_MS)
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Says what has become of the claim; one that was refused, or ended by somebody else, is none. */
function withClaim (error: unknown, holder: string, claim: Claim): unknown {
  if (!(error instanceof Failure) || error.kind === 'usage' || error.kind === 'refused') return error
  return saying(error, holder, claim)
}

function saying ({ kind, message }: Failure, holder: string, claim: Claim): Failure {
  return new Failure(kind, `${message}\nThe claim ${claim}; to give it back: myserverctl off --holder ${holder}`)
}
