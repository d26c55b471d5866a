#!/usr/bin/env node
// myserverctl: the operator's commands. Its process keeps Node's name, so `pkill -USR1 myserver` passes it by.

import { closeSync, existsSync, openSync } from 'node:fs'
import { createLogUpdate } from 'log-update'
import { controlSocketPath, userRuntimeDirectory } from '../paths.ts'
import { messageOf } from '../errors.ts'
import { connectSystemd, inheritedFds } from '../platform/systemd.ts'
import { connectTo, type Client } from './client.ts'
import type { Command, Terminal } from './command.ts'
import { Failure, exitCodes } from './failure.ts'
import { hold } from './hold.ts'
import { off } from './off.ts'
import { on } from './on.ts'
import { status } from './status.ts'
import { wait } from './wait.ts'

const commands: Readonly<Record<string, Command>> = { on, off, status, wait, hold }
// Where the shipped unit puts it: RuntimeDirectory=myserver.
const SYSTEM_DIRECTORY = '/run/myserver'
// The name of a descriptor in systemd's store; what it refers to does not matter.
const REMINDER = 'reminder'

const HELP = `Usage: myserverctl COMMAND [options]

${Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(7)} ${summary}`).join('\n')}

myserverctl COMMAND --help tells more. Exit codes: 0 done, 1 refused or timed out,
2 wrong usage, 3 the service cannot be reached, 130 interrupted.
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
  redraw: process.stdout.isTTY && process.stdout.rows > 0 ? createLogUpdate(process.stdout) : undefined,
  interrupted: interrupted.signal,
  terminated () {
    const terminated = new AbortController()
    process.on('SIGTERM', () => terminated.abort())
    return terminated.signal
  },
  notify: state => { connectSystemd(process.env, process.pid).notify(state) },
  remember () {
    const fd = openSync('/dev/null', 'r')
    connectSystemd(process.env, process.pid).store(REMINDER, fd)
    closeSync(fd)
  },
  forget () {
    connectSystemd(process.env, process.pid).unstore(REMINDER)
  },
  isSuccessor: () => inheritedFds(process.env, process.pid).has(REMINDER)
}

process.exitCode = await main(process.argv.slice(2))

async function main ([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help') {
    process.stdout.write(HELP)
    return name === undefined ? exitCodes.usage : exitCodes.done
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    terminal.err(`myserverctl: unknown command ${name}; expected one of ${Object.keys(commands).join(', ')}`)
    return exitCodes.usage
  }
  if (args.includes('--help')) {
    process.stdout.write(command.help)
    return exitCodes.done
  }
  try {
    return await command.run(args, connect, terminal)
  } catch (error) {
    terminal.err(`myserverctl ${name}: ${messageOf(error)}`)
    if (!(error instanceof Failure)) return exitCodes.refused
    if (error.code === exitCodes.usage) terminal.err(`Try: myserverctl ${name} --help`)
    return error.code
  }
}

function connect (socket: string | undefined): Client {
  // Node would take it for a TCP connection to this machine.
  if (socket === '') throw new Failure('usage', '--socket=: expected the path of the control socket')
  return connectTo(socket ?? defaultSocket(), interrupted.signal)
}

function defaultSocket (): string {
  const { RUNTIME_DIRECTORY } = process.env
  const directory = RUNTIME_DIRECTORY || (existsSync(SYSTEM_DIRECTORY) ? SYSTEM_DIRECTORY : userRuntimeDirectory(process.env))
  return controlSocketPath(directory)
}
