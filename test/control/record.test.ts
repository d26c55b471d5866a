import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { DurableRecord } from '../../src/control/record.ts'
import type { RecordState } from '../../src/control/record-format.ts'
import { newFolder, root, type Scope } from '../helpers/places.ts'

const NOBODY = 65534
const isRoot = process.getuid?.() === 0
const needsRoot = !isRoot && 'only root may do this'
const since = new Date('2026-01-01T12:00:00.000Z')
const maintenance: RecordState = {
  mode: 'maintenance', since, by: 'SIGUSR1', holders: [{ name: 'operator', by: 'SIGUSR1', since }]
}
const live: RecordState = { mode: 'live', since, by: 'SIGUSR2', holders: [] }

function open (t: Scope, mustExist = false, now?: () => Date): { folder: string, path: string, record: DurableRecord } {
  const folder = newFolder(t)
  const record = new DurableRecord(folder, mustExist, now)
  return { folder, path: record.path, record }
}

/** Runs code with `record` at hand as the user nobody. */
function runAsNobody (folder: string, code: string): { stdout: string, status: number | null, stderr: string } {
  const script = `const { DurableRecord } = await import(${JSON.stringify(pathToFileURL(join(root, 'src/control/record.ts')).href)})
    process.setgid(${NOBODY}); process.setuid(${NOBODY})
    const record = new DurableRecord(${JSON.stringify(folder)}, true)
    ${code}`
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', cwd: root })
}

t.test('what was written is read', async t => {
  const { record } = open(t)
  for (const state of [maintenance, live]) {
    record.write(state)
    t.same(record.read(), { state })
  }
})

t.test('everything that a holder said survives', async t => {
  const { record } = open(t)
  const end = { at: new Date('2026-01-01T13:00:00Z'), then: 'check' as const, countsBy: 'duration' as const }
  const holder = { name: 'migration', by: 'root, pid 7', since, reason: 'why', message: 'until one', end }
  const state: RecordState = { ...maintenance, holders: [holder, ...maintenance.holders] }
  record.write(state)
  t.same(record.read(), { state })
})

t.test('the file is one line of JSON with its version, for its owner and group only', async t => {
  const { record, path, folder } = open(t)
  record.write(maintenance)
  const text = readFileSync(path, 'utf8')
  t.match(JSON.parse(text), { version: 1, mode: 'maintenance', since: since.toISOString(), by: 'SIGUSR1' })
  t.match(text, /^[^\n]+\n$/)
  t.equal(statSync(path).mode & 0o777, 0o640 & ~process.umask())
  t.same(readdirSync(folder), ['maintenance.json'], 'nothing is left beside it')
})

t.test('the record is replaced and not written over: who has the old one open keeps it whole', async t => {
  const { record, path } = open(t)
  record.write(maintenance)
  const before = statSync(path).ino
  record.write(live)
  t.not(statSync(path).ino, before)
})

t.test('the folder is made where it is missing', async t => {
  const folder = join(newFolder(t), 'a', 'b')
  const record = new DurableRecord(folder, false)
  record.write(live)
  t.equal(statSync(folder).mode & 0o777, 0o750)
  t.match(record.read(), { state: live })
})

t.test('both file and folder are synced, the file before it takes its place', {
  skip: spawnSync('strace', ['-V']).error !== undefined && 'there is no strace to see it'
}, async t => {
  const { folder } = open(t)
  const script = `const { DurableRecord } = await import(${JSON.stringify(pathToFileURL(join(root, 'src/control/record.ts')).href)})
    new DurableRecord(${JSON.stringify(folder)}, false).write({ mode: 'live', since: new Date(), by: 'test', holders: [] })`
  const { stderr } = spawnSync('strace', ['-f', '-y', '-e', 'trace=fsync,rename', process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8' })
  const calls = stderr.split('\n').filter(line => line.includes(folder)).map(line => /(fsync|rename)\(/.exec(line)?.[1])
  t.same(calls, ['fsync', 'rename', 'fsync'])
})

t.test('an empty folder is a first start where nobody promised a record', async t => {
  t.match(open(t).record.read(), { state: { mode: 'live', by: 'first start', holders: [] }, doubt: undefined })
})

t.test('a folder that is not there is a first start where nobody promised a record', async t => {
  t.match(new DurableRecord(join(newFolder(t), 'none'), false).read(), { state: { mode: 'live' }, doubt: undefined })
})

t.test('an empty folder is a lost record where one was put there at installation', async t => {
  t.match(open(t, true).record.read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ', message: /is lost/ } })
})

t.test('a folder that holds something else has lost its record', async t => {
  const { folder, record } = open(t)
  writeFileSync(join(folder, 'maintenance.json.new'), '{"version":1,"mode":"live"')
  t.match(record.read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ' } })
})

t.test('a folder whose path is a file is in doubt', async t => {
  const file = join(newFolder(t), 'file')
  writeFileSync(file, '')
  t.match(new DurableRecord(file, false).read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ' } })
})

const good = { version: 1, ...live }
const bad: Readonly<Record<string, [string | Uint8Array, RegExp]>> = {
  empty: ['', /is not JSON/],
  'cut off': [JSON.stringify(good).slice(0, -5), /is not JSON/],
  'zeros, as after a power cut': [new Uint8Array(120), /is not JSON/],
  null: ['null', /no object/],
  'a text': ['"live"', /no object/],
  'an array': ['[]', /version/],
  'without a version': [JSON.stringify({ ...good, version: undefined }), /version/],
  'from the future': [JSON.stringify({ ...good, version: 2 }), /version 2/],
  'of a version that is a text': [JSON.stringify({ ...good, version: '1' }), /version "1"/],
  'of an unknown mode': [JSON.stringify({ ...good, mode: 'open' }), /mode "open"/],
  'of a mode that is no text': [JSON.stringify({ ...good, mode: true }), /mode true/],
  'since nonsense': [JSON.stringify({ ...good, since: 'yesterday' }), /"since"/],
  'since a number': [JSON.stringify({ ...good, since: 0 }), /"since"/],
  'by nobody': [JSON.stringify({ ...good, by: undefined }), /"by"/],
  'with holders that are no list': [JSON.stringify({ ...good, holders: {} }), /holders/],
  'live with a holder': [JSON.stringify({ ...good, holders: maintenance.holders }), /holder/],
  'with a holder that is null': [JSON.stringify({ version: 1, ...maintenance, holders: [null] }), /"name"/],
  'with an end of an unknown kind': [JSON.stringify({
    version: 1, ...maintenance, holders: [{ ...maintenance.holders[0], end: { at: since, then: 'explode', countsBy: 'clock' } }]
  }), /end/]
}

for (const [what, [content, reason]] of Object.entries(bad)) {
  t.test(`a record that is ${what} starts maintenance, says why and is kept beside`, async t => {
    const { folder, path, record } = open(t)
    writeFileSync(path, content)
    const { state, doubt } = record.read()
    t.match(state, { mode: 'maintenance', by: 'doubt about the record', holders: [{ name: 'operator' }] })
    t.match(doubt, { code: 'ERR_RECORD_READ', message: reason })
    t.match(doubt?.message ?? '', path)
    record.write(state)
    const [aside = ''] = readdirSync(folder).filter(file => file.startsWith('maintenance.json.bad-'))
    t.same(readFileSync(join(folder, aside)), Buffer.from(content))
    t.match(doubt?.message ?? '', aside)
  })
}

t.test('a record without holders, as installation puts it there, is good', async t => {
  const { path, record } = open(t, true)
  writeFileSync(path, '{"version":1,"mode":"live","since":"2026-01-01T12:00:00.000Z","by":"install"}\n')
  t.same(record.read(), { state: { ...live, by: 'install' } })
})

t.test('a file that was kept is never overwritten by the next one', async t => {
  const { folder, path, record } = open(t, false, () => since)
  for (const content of ['first', 'second']) {
    writeFileSync(path, content)
    record.read()
  }
  const kept = readdirSync(folder).map(file => readFileSync(join(folder, file), 'utf8'))
  t.same(kept.toSorted(), ['first', 'second'])
})

t.test('a folder in place of the record is in doubt, and the next write puts a record there', async t => {
  const { path, record } = open(t)
  mkdirSync(path)
  writeFileSync(join(path, 'inside'), 'kept')
  const { state, doubt } = record.read()
  t.match(doubt, { code: 'ERR_RECORD_READ' })
  record.write(state)
  t.match(record.read(), { state: { mode: 'maintenance' }, doubt: undefined })
})

t.test('a record that may not be read is in doubt, and what stood there is kept beside', { skip: needsRoot }, async t => {
  const { folder, path, record } = open(t)
  record.write(live)
  chmodSync(path, 0)
  chownSync(folder, NOBODY, NOBODY)
  const { stdout, stderr } = runAsNobody(folder, `const { state, doubt } = record.read()
    record.write(state)
    console.log(JSON.stringify({ mode: state.mode, doubt: doubt?.message }))`)
  t.match(JSON.parse(stdout || `"${stderr}"`), { mode: 'maintenance', doubt: /EACCES/ })
  const kept = readdirSync(folder).filter(file => file.startsWith('maintenance.json.bad-'))
  t.equal(kept.length, 1)
})

t.test('a folder that may not be written is told with its path, and the record stands', { skip: needsRoot }, async t => {
  const { folder, path, record } = open(t)
  record.write(live)
  chmodSync(folder, 0o755)
  chmodSync(path, 0o644)
  const { stdout, stderr } = runAsNobody(folder, `try { record.write(record.read().state) } catch (error) {
    console.log(JSON.stringify({ code: error.code, message: error.message })) }`)
  t.match(JSON.parse(stdout || `"${stderr}"`), { code: 'ERR_RECORD_WRITE', message: /maintenance\.json cannot be written \(EACCES/ })
  t.match(record.read(), { state: live, doubt: undefined })
})

t.test('a full disk is told, the old record stands whole, and nothing half-written is left', {
  skip: needsRoot || (spawnSync('unshare', ['-m', 'true']).status !== 0 && 'mounting is not allowed here')
}, async t => {
  const folder = newFolder(t)
  const script = `
    const { DurableRecord } = await import(${JSON.stringify(pathToFileURL(join(root, 'src/control/record.ts')).href)})
    const { writeFileSync, readdirSync } = await import('node:fs')
    const record = new DurableRecord(${JSON.stringify(folder)}, true)
    const state = ${JSON.stringify(maintenance)}
    record.write(state)
    try { for (let i = 0; ; i++) writeFileSync(${JSON.stringify(folder)} + '/fill' + i, Buffer.alloc(4096)) } catch {}
    let code
    try { record.write({ ...state, mode: 'live', holders: [] }) } catch (error) { code = error.code }
    console.log(JSON.stringify({ code, mode: record.read().state.mode, left: readdirSync(${JSON.stringify(folder)}).filter(name => name.endsWith('.new')) }))`
  const out = execFileSync('unshare', ['-m', 'sh', '-c',
    'mount -t tmpfs -o size=16k tmpfs "$1" && exec "$2" --input-type=module -e "$3"', 'sh', folder, process.execPath, script
  ], { encoding: 'utf8' })
  t.same(JSON.parse(out), { code: 'ERR_RECORD_WRITE', mode: 'maintenance', left: [] })
})

t.test('a symbolic link to a record elsewhere is read', async t => {
  const { path, record } = open(t)
  const elsewhere = join(newFolder(t), 'record')
  writeFileSync(elsewhere, JSON.stringify(good))
  symlinkSync(elsewhere, path)
  t.match(record.read(), { state: live, doubt: undefined })
  t.ok(existsSync(path))
})

t.test('a disowned record is not believed any more, and kept beside', async t => {
  const { folder, path, record } = open(t)
  record.write(live)
  t.ok(record.disown())
  t.notOk(existsSync(path))
  t.ok(existsSync(`${path}.outdated`))
  t.match(new DurableRecord(folder, false).read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ' } })
})

t.test('disowning where nothing can be renamed is not done', async t => {
  const file = join(newFolder(t), 'file')
  writeFileSync(file, '')
  t.notOk(new DurableRecord(file, false).disown())
})

for (const [what, mustExist, beside] of [
  ['a record that was there when it was installed', true, undefined], ['one beside whose place something lies', false, 'maintenance.json.outdated']
] as const) {
  t.test(`disowning ${what} and is lost is done already`, async t => {
    const { folder, record } = open(t, mustExist)
    if (beside !== undefined) writeFileSync(join(folder, beside), '')
    t.ok(record.disown())
    t.match(record.read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ' } })
  })
}

t.test('where there has never been a record, disowning it keeps the next start from being the first', async t => {
  const { folder, record } = open(t)
  t.ok(record.disown())
  t.match(new DurableRecord(folder, false).read(), { state: { mode: 'maintenance' }, doubt: { code: 'ERR_RECORD_READ' } })
})

t.test('where there has never been one and none can be, the next start is the first: nothing is disowned', { skip: needsRoot }, async t => {
  const folder = newFolder(t)
  chmodSync(folder, 0o755)
  const { stdout, stderr } = runAsNobody(folder, `
    const never = new DurableRecord(record.path.replace(/[^/]*$/, ''), false)
    console.log(JSON.stringify({ disowned: never.disown(), next: never.read().state.mode }))`)
  t.match(JSON.parse(stdout || `"${stderr}"`), { disowned: false, next: 'live' })
  const none = new DurableRecord(join(newFolder(t), 'none'), false)
  t.notOk(none.disown())
})

t.test('it holds just the state that was written, however that is written down', async t => {
  const { path, record } = open(t)
  t.notOk(record.holds(live))
  record.write(maintenance)
  t.ok(record.holds(maintenance))
  t.ok(record.holds({ ...maintenance, holders: maintenance.holders.map(holder => ({ ...holder, end: undefined })) }))
  t.notOk(record.holds(live))
  t.notOk(record.holds({ ...maintenance, holders: [...maintenance.holders, { name: 'backup', by: 'test', since }] }))
  writeFileSync(path, JSON.stringify({ by: 'SIGUSR2', since, mode: 'live', version: 1 }, null, 2))
  t.ok(record.holds(live))
  writeFileSync(path, 'garbage')
  t.notOk(record.holds(live))
})
