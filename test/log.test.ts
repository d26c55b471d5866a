// Where the lines go: a pipe, the journal, a terminal, or a reader that has gone.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { newFolder, root, type Scope } from './helpers/places.ts'
import { ServiceProcess, startService } from './helpers/service.ts'

t.setTimeout(60_000)
t.jobs = 2

/** Runs code with a `log` at hand, its standard output a file. */
function run (t: Scope, code: string, { toJournal = false, level = 'trace' } = {}): { output: string, status: number | null, stderr: string } {
  const path = join(newFolder(t), 'out')
  const fd = openSync(path, 'w')
  const { dev, ino } = statSync(path)
  const script = `const { openLog } = await import('./src/log.ts')
    const log = openLog(${JSON.stringify(level)}, process.env, {
      gathers: true,
      journal (line, priority, fields) {
        if (fields.MESSAGE_ID === 'refuse') return false
        taken.push({ line, priority, fields })
        return true
      }
    })
    const taken = []
    process.on('exit', log.flush)
    const { logger } = log
    ${code}`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', fd, 'pipe'],
    env: { PATH: process.env.PATH, ...toJournal && { JOURNAL_STREAM: `${dev}:${ino}` } }
  })
  closeSync(fd)
  return { output: readFileSync(path, 'utf8'), status, stderr }
}

const hide = "const hidden = (id, more = {}) => Object.defineProperty({ event: 'x', ...more }, 'journal', { value: { MESSAGE_ID: id }, enumerable: false });"

t.test('elsewhere than in the journal a line is JSON, with its time', async t => {
  const { output } = run(t, "logger.warn({ event: 'something', n: 1 }, 'said')")
  t.match(JSON.parse(output), { level: 40, time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/, event: 'something', n: 1, msg: 'said' })
  t.notOk('pid' in JSON.parse(output) || 'hostname' in JSON.parse(output))
})

t.test('what caused an error stands beside it, and is not said twice', async t => {
  const { output } = run(t, "logger.error({ err: new Error('cannot be read: no such file', { cause: new Error('no such file') }) }, 'said')")
  t.match(JSON.parse(output), { err: { message: 'cannot be read: no such file', cause: { message: 'no such file' } } })
  t.equal(JSON.parse(output).err.message, 'cannot be read: no such file')
})

t.test('lines that nobody could take are told, in the journal with their priority', {
  skip: process.platform !== 'linux' && 'only Linux has a device that is always full'
}, async t => {
  for (const toJournal of [false, true]) {
    const { output } = run(t, `
      const { openSync } = await import('node:fs')
      const koffi = (await import('koffi')).default
      const dup2 = koffi.load('libc.so.6').func('int dup2(int from, int to)')
      const dup = koffi.load('libc.so.6').func('int dup(int fd)')
      const kept = dup(1)
      dup2(openSync('/dev/full', 'w'), 1)
      logger.info('lost')
      log.flush()
      dup2(kept, 1)
      logger.info('kept')
      log.flush()`, { toJournal })
    const [kept = '', loss = ''] = output.trimEnd().split('\n')
    t.match(kept, 'kept')
    t.match(loss, toJournal ? /^<4>\{/ : /^\{/)
    t.match(JSON.parse(loss.replace('<4>', '')), { level: 40, event: 'lines-lost', lost: 1, ...!toJournal && { time: String } })
  }
})

t.test('in the journal each line bears its priority, and no time', async t => {
  const { output } = run(t, `
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) logger[level]({ event: level }, level)`, { toJournal: true })
  const lines = output.trimEnd().split('\n')
  t.same(lines.map(line => line.slice(0, 3)), ['<7>', '<7>', '<6>', '<4>', '<3>', '<2>'])
  const [first = ''] = lines
  t.same(Object.keys(JSON.parse(first.slice(3))), ['level', 'event', 'msg'])
})

t.test('a child logger bears the priority of each line too', async t => {
  const { output } = run(t, "const child = logger.child({ worker: 1 }); child.error('a'); logger.info('b'); child.warn('c')", { toJournal: true })
  t.same(output.trimEnd().split('\n').map(line => line.slice(0, 3)), ['<3>', '<6>', '<4>'])
})

t.test('JOURNAL_STREAM that is not standard output is none', async t => {
  const { output } = run(t, `process.env.JOURNAL_STREAM = '1:2'
    const { openLog: open, writesToJournal } = await import('./src/log.ts')
    logger.info({ is: writesToJournal(process.env) }, 'said')`)
  t.match(JSON.parse(output), { is: false })
})

t.test('a transition becomes a native entry and no line, and a line where the journal does not take it', async t => {
  const { output, stderr } = run(t, `${hide}
    logger.warn(hidden('take'), 'taken')
    logger.warn(hidden('refuse'), 'refused')
    logger.info({ event: 'next' }, 'next')
    console.error(JSON.stringify(taken))`, { toJournal: true })
  t.match(JSON.parse(stderr), [{ priority: 4, fields: { MESSAGE_ID: 'take' } }])
  t.match(JSON.parse(JSON.parse(stderr)[0].line), { event: 'x', msg: 'taken' })
  t.same(output.trimEnd().split('\n').map(line => JSON.parse(line.slice(3)).msg), ['refused', 'next'])
})

t.test('lines below the level are not written', async t => {
  const { output } = run(t, "logger.info('quiet'); logger.warn('loud')", { level: 'warn' })
  t.equal(output.trimEnd().split('\n').length, 1)
  t.equal(run(t, "logger.fatal('loudest')", { level: 'silent' }).output, '')
})

t.test('everything is written when the process ends, in order', async t => {
  const { output } = run(t, "for (let i = 0; i < 5000; i++) logger.info({ i }, 'line')\nprocess.exit(3)")
  t.same(output.trimEnd().split('\n').map(line => JSON.parse(line).i), Array.from({ length: 5000 }, (_, i) => i))
})

t.test('everything is written when the process crashes', async t => {
  const { output, status } = run(t, `
    for (let i = 0; i < 500; i++) logger.info({ i }, 'line')
    throw new Error('crash')`)
  t.equal(status, 1)
  t.equal(output.trimEnd().split('\n').length, 500)
})

t.test('a line longer than a pipe takes at once is written whole', async t => {
  const { output } = run(t, "logger.info({ long: 'x'.repeat(20_000) }, 'long'); logger.info('short')")
  const lines = output.trimEnd().split('\n')
  t.equal(lines.length, 2)
  t.equal(JSON.parse(lines[0] ?? '').long.length, 20_000)
})

t.test('the service flushes what its workers have logged when it stops', async t => {
  const service = await startService(t)
  await Promise.all(Array.from({ length: 50 }, async (_, i) => await service.get(`/?${i}`)))
  service.send('SIGTERM')
  await service.ended
  t.equal(service.lines.filter(({ event }) => event === 'request').length, 50)
  t.same(service.otherOutput, [], 'every line is whole')
  t.equal(service.lines.at(-1)?.event, 'stopped')
})

t.test('an error that nobody caught is logged before the process ends with 1', async t => {
  const defect = "import { isMainThread } from 'node:worker_threads';" +
    "if (isMainThread) process.on('SIGWINCH', () => { throw new Error('a defect') })"
  const service = await startService(t, {
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(defect)}` }
  })
  service.send('SIGWINCH')
  t.same(await service.ended, { code: 1, signal: null })
  t.match(service.linesOf('failed'), [{ level: 60, err: { message: 'a defect' } }])
  t.equal(service.linesOf('stopped').length, 1)
})

t.test('a reader that goes away does not end the service', async t => {
  const service = new ServiceProcess(t)
  await service.line('serving')
  const { port } = service
  service.child.stdout?.destroy()
  for (let i = 0; i < 20; i++) t.equal((await service.get()).status, 200)
  service.child.kill('SIGUSR1')
  // Its lines can be read no more: what it serves tells.
  while ((await service.get()).status !== 503) await sleep(1)
  t.equal(service.record.mode, 'maintenance')
  service.child.kill('SIGTERM')
  const [code] = await once(service.child, 'exit')
  t.equal(code, 0)
  t.type(port, 'number')
})

t.test('a reader that stalls keeps the service neither from serving nor from ending', { timeout: 25_000 }, async t => {
  const service = new ServiceProcess(t, { env: { SHUTDOWN_GRACE: '1s' } })
  await service.line('serving')
  service.child.stdout?.pause()
  // More than a pipe and what reads it take: pipe(7).
  for (let i = 0; i < 60; i++) t.equal((await service.get(`/none?${'x'.repeat(8000)}`)).status, 404)
  service.child.kill('SIGTERM')
  const [code] = await once(service.child, 'exit')
  t.equal(code, 0)
  service.child.stdout?.resume()
})

t.test('in a terminal the lines are for people', {
  skip: (process.platform !== 'linux' || spawnSync('python3', ['-c', 'import pty']).status !== 0) && 'there is no python3 to make a terminal'
}, async t => {
  const folder = newFolder(t)
  const terminal = spawn('python3', ['-c', 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)',
    process.execPath, '--disable-sigusr1', join(root, 'src/main.ts')], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      TERM: 'xterm',
      HOST: '127.0.0.1',
      PORT: '0',
      STATE_DIRECTORY: join(folder, 'state'),
      RUNTIME_DIRECTORY: join(folder, 'run'),
      CACHE_DIRECTORY: join(folder, 'cache')
    }
  })
  let shown = ''
  let pid: number | undefined
  t.teardown(() => {
    terminal.kill('SIGKILL')
    try { if (pid !== undefined) process.kill(pid, 'SIGKILL') } catch {} // It has ended, as it should.
  })
  for await (const text of terminal.stdout.setEncoding('utf8')) {
    shown += text
    if (pid === undefined && shown.includes('requests are served')) {
      // Who made the terminal has one child: the service.
      pid = Number(readFileSync(`/proc/${terminal.pid}/task/${terminal.pid}/children`, 'utf8'))
      process.kill(pid, 'SIGTERM')
    }
  }
  t.match(shown, /INFO/)
  t.match(shown, /starting/)
  t.match(shown, /stopped/)
  t.notMatch(shown, /^\{"level"/m)
})
