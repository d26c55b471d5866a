import { spawn, spawnSync } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { call } from '../helpers/call.ts'
import { fixture, Gate, newFolder, type Scope } from '../helpers/places.ts'
import { startService, type ServiceProcess } from '../helpers/service.ts'

t.setTimeout(120_000)

// Debian's package has both programs. In CI they must be there.
const needsPrometheus = {
  skip: process.env.CI !== 'true' && spawnSync('promtool', ['--version']).error !== undefined && 'prometheus is not installed (apt-get install prometheus)'
}

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function textOf ({ folder }: ServiceProcess): Promise<string> {
  return (await call(join(folder, 'run/control.sock'), 'GET', '/metrics')).text
}

/** The value of a metric, with the labels that it is written with. */
function valueOf (text: string, name: string): number {
  const line = text.split('\n').find(line => line.startsWith(`${name} `))
  return line === undefined ? NaN : Number(line.slice(name.length + 1))
}

t.test('every metric that the runbook names is there, and every one of its own is named there', async t => {
  const service = await startService(t)
  const there = [...(await textOf(service)).matchAll(/^# TYPE (myserver_\w+)/gm)].map(([, name]) => name)
  const runbook = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const named = new Set([...runbook.matchAll(/`(myserver_\w+)`/g)].map(([, name]) => name))
  t.same(there.sort(), [...named].sort())
})

t.test('the figures are those of the service', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: gate.path } })
  await service.get()
  const held = service.get('/hold')
  await service.line('app-holding')
  const live = await textOf(service)
  t.equal(valueOf(live, 'myserver_maintenance'), 0)
  t.equal(valueOf(live, 'myserver_in_flight'), 1)
  t.equal(valueOf(live, 'myserver_requests_admitted_total'), 2)
  t.equal(valueOf(live, 'myserver_drain_duration_seconds_count'), 0)

  service.send('SIGUSR1')
  await service.line('maintenance-entered')
  for (let i = 0; i < 3; i++) await service.get()
  const entered = await textOf(service)
  t.equal(valueOf(entered, 'myserver_maintenance'), 1)
  t.equal(valueOf(entered, 'myserver_holders'), 1)
  t.equal(valueOf(entered, 'myserver_drained'), 0)
  t.equal(valueOf(entered, 'myserver_requests_refused_total'), 3)
  t.ok(valueOf(entered, 'myserver_mode_seconds') < valueOf(live, 'myserver_mode_seconds') + 60)

  gate.open()
  await held
  const { tookMs } = await service.line('maintenance-drained')
  const drained = await textOf(service)
  t.equal(valueOf(drained, 'myserver_drained'), 1)
  t.equal(valueOf(drained, 'myserver_in_flight'), 0)
  t.equal(valueOf(drained, 'myserver_drain_duration_seconds_count'), 1)
  t.equal(valueOf(drained, 'myserver_drain_duration_seconds_sum'), Number(tookMs) / 1000)
})

t.test('a worker that dies is counted, and what was in flight with it is not', async t => {
  const service = await startService(t, { env: { APP: fixture('application.ts'), GATE: new Gate(t).path } })
  await t.rejects(service.get('/crash'))
  await service.line('worker-died')
  await service.linesUntil('worker-serving', 2)
  const text = await textOf(service)
  t.equal(valueOf(text, 'myserver_worker_replacements_total'), 1)
  t.equal(valueOf(text, 'myserver_in_flight'), 0)
})

t.test('METRICS_LISTEN serves the metrics, and nothing else', async t => {
  const port = await freePort()
  const service = await startService(t, { env: { METRICS_LISTEN: `127.0.0.1:${port}` } })
  const base = `http://127.0.0.1:${port}`
  const response = await fetch(`${base}/metrics`)
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.match(await response.text(), 'myserver_maintenance 0')
  t.equal((await fetch(`${base}/v1/status`)).status, 404)
  t.equal((await fetch(`${base}/metrics`, { method: 'DELETE' })).status, 404)
  service.child.kill('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
})

t.test('where the port of METRICS_LISTEN is taken it says so, and everything else works', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const service = await startService(t, { env: { METRICS_LISTEN: `127.0.0.1:${port}` } })
  t.match(service.linesOf('metrics-failed'), [{
    level: 50, err: { message: new RegExp(`^METRICS_LISTEN: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`) }
  }])
  t.match(await textOf(service), 'myserver_maintenance 0')
  t.equal((await service.get()).status, 200)
})

t.test('promtool has nothing to object to', needsPrometheus, async t => {
  const service = await startService(t)
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: await textOf(service), encoding: 'utf8' })
  t.equal(`${stdout}${stderr}`, '')
  t.equal(status, 0)
})

/** A real Prometheus, and what it answers to a query once it has scraped. */
async function scrapedBy (t: Scope, target: number, query: string): Promise<unknown> {
  const folder = newFolder(t)
  const config = join(folder, 'prometheus.yml')
  writeFileSync(config, JSON.stringify({
    global: { scrape_interval: '1s' },
    scrape_configs: [{ job_name: 'myserver', static_configs: [{ targets: [`127.0.0.1:${target}`] }] }]
  }))
  const port = await freePort()
  const prometheus = spawn('prometheus', [`--config.file=${config}`, `--storage.tsdb.path=${folder}/data`, `--web.listen-address=127.0.0.1:${port}`],
    { stdio: 'ignore' })
  const ended = once(prometheus, 'exit')
  t.teardown(async () => {
    prometheus.kill('SIGKILL')
    await ended
  })
  for (;;) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`)
      const { data } = await response.json() as { data?: { result: Array<{ value: unknown[] }> } }
      const [first] = data?.result ?? []
      if (first !== undefined) return first.value[1]
    } catch {} // It is not up yet.
    await sleep(50)
  }
}

t.test('a real Prometheus scrapes it', needsPrometheus, async t => {
  const metricsPort = await freePort()
  const service = await startService(t, { env: { METRICS_LISTEN: `127.0.0.1:${metricsPort}` } })
  service.send('SIGUSR1')
  await service.line('maintenance-drained')
  t.equal(await scrapedBy(t, metricsPort, 'myserver_maintenance + on() up{job="myserver"}'), '2')
})
