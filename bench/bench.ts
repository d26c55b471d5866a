// `npm run bench`: measures what docs/performance.md promises, over loopback, in about four minutes.
//   -- --quick    a minute, with fewer rounds         -- --json     the samples instead of the table
//   -- NAME ...   only the cases whose names contain one of these

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { timePage, timeReady, weigh } from './cases/starting.ts'
import { timeSwitches } from './cases/switching.ts'
import { compare, startRefusing } from './cases/throughput.ts'
import { root } from './defaults.ts'
import { children, scratch, startPeer, startService } from './processes.ts'
import { table, type Row } from './report.ts'

const { values: { quick, json }, positionals } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
  allowPositionals: true
})
const pace = quick
  ? { rounds: 5, roundMs: 300, warmUpMs: 700 }
  : { rounds: 15, roundMs: 700, warmUpMs: 2_000 }
const switches = quick ? 30 : 100
const starts = quick ? 4 : 12
const settleMs = quick ? 1_000 : 3_000
const hello = { APP: join(root, 'bench/apps/hello.ts') }
const blocking = { APP: join(root, 'bench/apps/blocking.ts'), WORKERS: '2' }
const logging = { LOG_LEVEL: 'info' }
// A file system in memory: what is left of a switch when the disk costs nothing.
const memory = '/dev/shm'

const cases: ReadonlyArray<readonly [name: string, run: (name: string) => Promise<Row>]> = [
  ['live with the plugin, smallest application', async name =>
    await compare(name, await startPeer('hello+plugin'), await startPeer('hello'), pace, 0.97)],
  ['live with the plugin, static site', async name =>
    await compare(name, await startPeer('site+plugin'), await startPeer('site'), pace, 0.97)],
  ['refusing, against bare node:http', async name => {
    const [ours, peer] = await startRefusing(await startService({ env: hello }))
    return await compare(name, ours, peer, pace, 0.90)
  }],
  ['access log to /dev/null, smallest application', async name =>
    await compare(name, await startService({ env: { ...hello, ...logging } }), await startService({ env: hello }), pace, 0.80)],
  ['access log to a reader, smallest application', async name =>
    await compare(name, await startLoggingTo(reader(), hello), await startService({ env: hello }), pace, 0.80)],
  ['access log to a reader, static site', async name =>
    await compare(name, await startLoggingTo(reader(), {}), await startService(), pace, 0.80)],
  ['signal to first refusal', async name =>
    await timeSwitches({ name, switches, directory: scratch, env: hello })],
  ['signal to first refusal, record in memory', async name =>
    await timeSwitches({ name, switches, directory: memory, env: hello })],
  ['signal to first refusal, one of two workers blocked', async name =>
    await timeSwitches({ name, switches, directory: scratch, env: blocking, blocking: true })],
  ['signal to first refusal, one of two workers blocked, record in memory', async name =>
    await timeSwitches({ name, switches, directory: memory, env: blocking, blocking: true })],
  ['start to READY, warm cache', async name => await timeReady(name, starts)],
  ['start to READY, cold cache', async name => await timeReady(name, starts / 2, true)],
  ['start in maintenance to the first page, warm cache', async name => await timePage(name, starts)],
  ['start in maintenance to the first page, cold cache', async name => await timePage(name, starts / 2, true)],
  ['memory when idle, one worker', async name => await weigh(name, starts / 4, settleMs)]
]

const rows: Row[] = []
for (const [name, run] of cases) {
  if (positionals.length > 0 && !positionals.some(part => name.includes(part))) continue
  process.stderr.write(`${name} ...\n`)
  rows.push(await run(name))
}
process.stdout.write(json ? `${JSON.stringify(rows)}\n` : `${table(rows)}\n`)
process.exit(rows.every(({ target }) => target?.isReached ?? true) ? 0 : 1)

/** As the journal does: a process of its own takes what is logged, through a socket. */
function reader (): NodeJS.WritableStream {
  const cat = spawn('cat', { stdio: ['pipe', 'ignore', 'inherit'] })
  children.add(cat)
  return cat.stdin
}

async function startLoggingTo (stdout: NodeJS.WritableStream, env: Record<string, string>): ReturnType<typeof startService> {
  return await startService({ stdout, env: { ...env, ...logging } })
}
