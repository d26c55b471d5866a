// Real descriptors that do not block: connected sockets, with a reader that reads, stalls or goes away.

import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import koffi from 'koffi'
import t from 'tap'
import { LineWriter } from '../src/line-writer.ts'
import { duplicate } from '../src/platform/libc.ts'
import { newFolder, type Scope } from './helpers/places.ts'

t.setTimeout(60_000)

/** dup2(2): makes a descriptor mean what another one does. */
function replace (fd: number, by: number): void {
  koffi.load('libc.so.6').func('int dup2(int from, int to)')(by, fd)
}

interface Reader {
  /** Where to write. */
  fd: number
  /** Stalled until it is read from. */
  socket: Socket
  /** All lines up to and without this one. */
  linesBefore: (last: string) => Promise<string[]>
}

async function openReader (t: Scope): Promise<Reader> {
  const path = join(newFolder(t), 'socket')
  const server = createServer({ pauseOnConnect: true }).listen(path)
  const accepted = once(server, 'connection')
  const client = connect(path) as Socket & { _handle: { fd: number } }
  const [socket] = await accepted as [Socket]
  t.teardown(() => {
    client.destroy()
    socket.destroy()
    server.close()
  })
  const lines: string[] = []
  createInterface(socket).on('line', line => { lines.push(line) })
  socket.pause()
  return {
    fd: client._handle.fd,
    socket,
    async linesBefore (last) {
      socket.resume()
      while (lines.at(-1) !== last) await once(socket, 'data')
      return lines.slice(0, -1)
    }
  }
}

const lineOfLoss = (lost: number): string => `${lost} lost\n`

const numbered = (count: number, length: number): string[] =>
  Array.from({ length: count }, (_, i) => `${i} ${'é'.repeat(length)}`)

t.test('a writer that does not gather writes each line at once', async t => {
  const path = join(newFolder(t), 'file')
  const fd = openSync(path, 'w')
  const writer = new LineWriter(fd, false, lineOfLoss)
  for (const line of ['a\n', 'b\n']) {
    writer.write(line)
    t.match(readFileSync(path, 'utf8'), line)
  }
  closeSync(fd)
})

t.test('a writer that gathers writes when it has enough, and what is left soon after', async t => {
  const path = join(newFolder(t), 'file')
  const fd = openSync(path, 'w')
  const writer = new LineWriter(fd, true, lineOfLoss)
  const line = `${'x'.repeat(999)}\n`
  for (let i = 0; i < 4; i++) writer.write(line)
  t.equal(readFileSync(path, 'utf8'), '')
  writer.write(line)
  t.equal(readFileSync(path, 'utf8'), line.repeat(4))
  while (readFileSync(path, 'utf8') !== line.repeat(5)) await new Promise(resolve => setTimeout(resolve, 1))
  t.pass('the last one too')
  closeSync(fd)
})

t.test('a reader that stalls holds nobody up, and gets every line once it reads again, whole and in order', async t => {
  const reader = await openReader(t)
  const writer = new LineWriter(reader.fd, true, lineOfLoss)
  const lines = numbered(20_000, 100)
  for (const line of [...lines, 'end']) writer.write(`${line}\n`)
  t.same(await reader.linesBefore('end'), lines)
})

t.test('so does one whose lines are longer than a piece', async t => {
  const reader = await openReader(t)
  const writer = new LineWriter(reader.fd, false, lineOfLoss)
  const lines = numbered(5, 300_000)
  for (const line of [...lines, 'end']) writer.write(`${line}\n`)
  t.same(await reader.linesBefore('end'), lines)
})

t.test('what nobody reads is lost in the end, by lines, the latest first, and how much is told', async t => {
  const reader = await openReader(t)
  const writer = new LineWriter(reader.fd, true, lineOfLoss)
  const lines = numbered(60_000, 200)
  for (const line of lines) writer.write(`${line}\n`)
  const last = reader.linesBefore('end')
  // Not before there is room for it again.
  await once(reader.socket, 'data')
  writer.flush()
  writer.write('end\n')
  const read = await last
  const kept = read.filter(line => !line.endsWith(' lost'))
  t.same(kept, lines.slice(0, kept.length))
  t.same(read.filter(line => line.endsWith(' lost')), [`${lines.length - kept.length} lost`])
  t.ok(kept.length > 30_000 && kept.length < 50_000, `${kept.length} of ${lines.length} were kept`)
})

t.test('flushing at the end waits for a stalled reader, but not for ever, and loses nothing', async t => {
  const reader = await openReader(t)
  const writer = new LineWriter(reader.fd, true, lineOfLoss)
  const lines = numbered(20_000, 100)
  for (const line of lines) writer.write(`${line}\n`)
  writer.flush()
  writer.write('end\n')
  t.same(await reader.linesBefore('end'), lines)
})

t.test('a reader that has gone away is no error', async t => {
  const reader = await openReader(t)
  const writer = new LineWriter(reader.fd, true, lineOfLoss)
  reader.socket.destroy()
  await once(reader.socket, 'close')
  t.doesNotThrow(() => {
    for (let i = 0; i < 1000; i++) writer.write(`${'x'.repeat(100)}\n`)
  })
  t.doesNotThrow(() => writer.flush())
})

t.test('a closed descriptor is no error either', async t => {
  const fd = openSync(join(newFolder(t), 'file'), 'w')
  const writer = new LineWriter(fd, false, lineOfLoss)
  closeSync(fd)
  t.doesNotThrow(() => writer.write('lost\n'))
})

t.test('lines that could not be written are told after the first one that can be, once', {
  skip: process.platform !== 'linux' && 'only Linux has a device that is always full'
}, async t => {
  const path = join(newFolder(t), 'link')
  const [full, file] = [openSync('/dev/full', 'w'), openSync(path, 'w')]
  const fd = duplicate(full)
  const writer = new LineWriter(fd, false, lineOfLoss)
  for (const line of ['a\n', 'b\n', 'c\n']) writer.write(line)
  // The disk has room again: the same descriptor, another file behind it.
  replace(fd, file)
  for (const line of ['d\n', 'e\n']) writer.write(line)
  t.equal(readFileSync(path, 'utf8'), 'd\n3 lost\ne\n')
  for (const each of [full, file, fd]) closeSync(each)
})
