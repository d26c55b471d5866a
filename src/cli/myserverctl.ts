#!/usr/bin/env node
// myserverctl: the operator's commands. Its process keeps Node's name, so `pkill -USR1 myserver` passes it by.

import { closeSync, openSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import { connectSystemd, inheritedFds, type Systemd } from '../platform/systemd.ts'
import { HelpWanted } from './args.ts'
import { connectTo, type Client } from './client.ts'
import type { Command, Terminal } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { hold } from './hold.ts'
import { off } from './off.ts'
import { on } from './on.ts'
import { placeOf } from './place.ts'
import { openScreen } from './screen.ts'
import { status } from './status.ts'
import { wait } from './wait.ts'

const commands: Readonly<Record<string, Command>> = { on, off, status, wait, hold }
// The name of a descriptor in systemd's store; what it refers to does not matter.
const REMINDER = 'reminder'

const HELP = `Usage: myserverctl COMMAND [options]

${Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(7)} ${summary}`).join('\n')}

myserverctl COMMAND --help tells more; --version tells the version.
Exit codes: 0 done, 1 refused or timed out, 2 wrong usage, 3 the service cannot be reached,
130 interrupted.
`

const interrupted = new AbortController()
process.on('SIGINT', () => interrupted.abort())
// Nobody reads any more (`| head`).
process.stdout.on('error', () => interrupted.abort())
process.stderr.on('error', () => {})

const terminal: Terminal = {
  out: text => { process.stdout.write(`${text}\n`) },
  err: text => { process.stderr.write(`${text}\n`) },
  // A serial console does not say how large it is, and log-update would show as many lines as that.
  redraw: process.stdout.isTTY && process.stdout.rows > 0 ? openScreen(process.stdout) : undefined,
  interrupted: interrupted.signal,
  terminated () {
    const terminated = new AbortController()
    process.on('SIGTERM', () => terminated.abort())
    return terminated.signal
  },
  notify: state => systemd().notify(state),
  remember () {
    const fd = openSync('/dev/null', 'r')
    systemd().store(REMINDER, fd)
    closeSync(fd)
  },
  forget () {
    systemd().unstore(REMINDER)
  },
  isSuccessor: () => inheritedFds(process.env, process.pid).has(REMINDER)
}

process.exitCode = await main(process.argv.slice(2))

async function main ([name, ...args]: readonly string[]): Promise<number> {
  switch (name) {
    case undefined:
      process.stderr.write(HELP)
      return exitCodes.usage
    case '--help':
    case '-h':
      process.stdout.write(HELP)
      return exitCodes.done
    case '--version':
      terminal.out((await import('../config.ts')).version())
      return exitCodes.done
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    terminal.err(`myserverctl: unknown command ${name}; expected one of ${Object.keys(commands).join(', ')}`)
    return exitCodes.usage
  }
  try {
    return await command.run(args, connect, terminal)
  } catch (error) {
    if (error instanceof HelpWanted) {
      process.stdout.write(command.help)
      return exitCodes.done
    }
    terminal.err(`myserverctl ${name}: ${messageOf(error)}`)
    if (!(error instanceof Failure)) return exitCodes.refused
    if (error.kind === 'usage') terminal.err(`Try: myserverctl ${name} --help`)
    return error.code
  }
}

// A READY that was not taken would be missed for ever, and there is nothing else to do meanwhile.
function systemd (): Systemd {
  return connectSystemd(process.env, process.pid, { waits: true })
}

function connect (socket: string | undefined): Client {
  return connectTo(placeOf(socket, process.env), interrupted.signal)
}
