import t from 'tap'
import { commonOptions } from '../../src/cli/args.ts'
import type { Client } from '../../src/cli/client.ts'
import type { Command, Terminal } from '../../src/cli/command.ts'
import { hold } from '../../src/cli/hold.ts'
import { off } from '../../src/cli/off.ts'
import { on } from '../../src/cli/on.ts'
import { status } from '../../src/cli/status.ts'
import { wait } from '../../src/cli/wait.ts'
import { version } from '../../src/config.ts'
import { ctl } from './ctl.ts'

t.setTimeout(120_000)

const commands: Readonly<Record<string, Command>> = { on, off, status, wait, hold }
const WIDTH = 100

/** The options that a help text names, with whether each takes a value. */
function optionsIn (help: string): Map<string, boolean> {
  return new Map([...help.matchAll(/^ {2}--([a-z]+)(\[?=[A-Z]+\]?| [A-Z]+)?/gm)].map(([, name = '', value]) => [name, value !== undefined]))
}

/** Whether a command knows an option: what it objects to first is not the option itself. */
async function knows (command: Command, option: string): Promise<boolean> {
  const connect = (): Client => { throw new Error('it wants to connect') }
  try {
    await command.run([option], connect, { terminated: () => new AbortController().signal, isSuccessor: () => false } as unknown as Terminal)
  } catch (error) {
    return !/Unknown option|does not take an argument/.test(String(error))
  }
  return true
}

const every = new Set(Object.values(commands).flatMap(({ help }) => [...optionsIn(help).keys()]))

for (const [name, command] of Object.entries(commands)) {
  t.test(`myserverctl ${name} --help prints it and does nothing`, async t => {
    t.same(await ctl(t, {}, name, '--help'), { code: 0, out: command.help, err: '' })
    t.same(await ctl(t, {}, name, '-h', '--json'), { code: 0, out: command.help, err: '' })
  })

  t.test(`${name} takes every option that its help names, with a value or without`, async t => {
    for (const [option, hasValue] of optionsIn(command.help)) {
      t.equal(await knows(command, `--${option}${hasValue ? '=x' : ''}`), true, option)
      if (!hasValue) t.equal(await knows(command, `--${option}=x`), false, `${option} takes no value`)
    }
  })

  t.test(`${name} takes no option that its help does not name`, async t => {
    const named = optionsIn(command.help)
    for (const option of [...every, ...Object.keys(commonOptions), 'verbose', 'yes']) {
      if (named.has(option) || option === 'help') continue
      t.equal(await knows(command, `--${option}`) || await knows(command, `--${option}=x`), false, option)
    }
  })

  t.test(`the help of ${name} fits on a terminal`, async t => {
    for (const line of command.help.split('\n')) t.ok(line.length <= WIDTH, line)
    t.match(command.help, new RegExp(`^Usage: myserverctl ${name} `))
    t.match(command.summary, /^[a-z][^\n]{5,60}$/)
  })
}

t.test('without a command it says which there are, as wrong usage', async t => {
  const { code, out: nothing, err: out } = await ctl(t, {})
  t.equal(code, 2)
  t.equal(nothing, '')
  for (const [name, { summary }] of Object.entries(commands)) t.match(out, new RegExp(`^  ${name} +${RegExp.escape(summary)}$`, 'm'))
  for (const line of out.split('\n')) t.ok(line.length <= WIDTH, line)
  for (const option of ['--help', '-h']) t.same(await ctl(t, {}, option), { code: 0, out, err: '' })
})

t.test('--version is that of the service', async t => {
  t.same(await ctl(t, {}, '--version'), { code: 0, out: `${version()}\n`, err: '' })
})

t.test('what a wait for a live service does is told, and how --wait is written', async t => {
  t.match(wait.help, /two seconds/)
  for (const { help } of [on, hold]) t.match(help, /^ {2}--wait(\[=TIMEOUT\]|=TIMEOUT) /m)
})

t.test('an unknown command is told, with those that there are', async t => {
  for (const name of ['start', 'toString', '-v']) {
    t.same(await ctl(t, {}, name), { code: 2, out: '', err: `myserverctl: unknown command ${name}; expected one of on, off, status, wait, hold\n` })
  }
})
