// The command line of the service itself. It is configured by the environment; these options only tell.

import { hidePassword, readConfig, settings, version } from './config.ts'
import { EX_CONFIG, messageOf } from './errors.ts'

export interface Answer {
  code: number
  out: string
  err: string
}

const EX_USAGE = 2

/** @returns what to print before ending, or undefined where the service is to be started */
export function answerOptions (args: readonly string[], env: NodeJS.ProcessEnv): Answer | undefined {
  const [option, ...more] = args
  if (option === undefined) return undefined
  if (more.length > 0) return usageError(`expected one option at most, got: ${args.join(' ')}`)
  switch (option) {
    case '--help': return { code: 0, out: help(), err: '' }
    case '--version': return { code: 0, out: `${version()}\n`, err: '' }
    case '--check-config': return checkConfig(env)
    default: return usageError(`unknown option ${option}`)
  }
}

function checkConfig (env: NodeJS.ProcessEnv): Answer {
  try {
    const config = readConfig(env)
    const shown = JSON.stringify(config, (_name, value) => typeof value === 'string' ? hidePassword(value) : value, 2)
    return { code: 0, out: `The configuration is good:\n${shown}\n`, err: '' }
  } catch (error) {
    return { code: EX_CONFIG, out: '', err: `${messageOf(error)}\n` }
  }
}

function usageError (problem: string): Answer {
  return { code: EX_USAGE, out: '', err: `myserver: ${problem}\nTry: myserver --help\n` }
}

function help (): string {
  const width = Math.max(...settings.map(({ name }) => name.length))
  const lines = settings.map(setting => {
    const fallback = 'default' in setting ? ` (${setting.default})` : ''
    return `  ${setting.name.padEnd(width)}  ${setting.help}${fallback}`
  })
  return `Usage: myserver [--check-config | --help | --version]

Serves a site or an application behind a maintenance switch.

  kill -USR1 PID  maintenance on       kill -USR2 PID  maintenance off
  kill -HUP PID   read the page again  kill PID        stop when all requests are over

Options:
  --check-config  check the environment below, say what is wrong with it, and end
  --help          this text
  --version       the version

Environment, with defaults:
${lines.join('\n')}

Durations: 90 and 90s are seconds; 30m, 2h. Exit codes: 0 stopped, 1 failed, 2 wrong usage, 78 wrong configuration.
`
}
