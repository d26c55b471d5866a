import { once } from 'node:events'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { StandingSocket } from '../../src/control/standing-socket.ts'
import { newFolder } from '../helpers/places.ts'
import { readableLog } from '../helpers/worker-data.ts'

async function listen (path: string): Promise<Server> {
  const server = createServer().listen(path)
  await once(server, 'listening')
  return server
}

async function stand (t: Test, path = join(newFolder(t), 'run', 'control.sock')) {
  const { logger, lines } = readableLog()
  let opened = 0
  const socket = new StandingSocket(path, async () => {
    opened++
    const server = await listen(path)
    return { close: async () => { await new Promise(resolve => server.close(resolve)) } }
  }, logger)
  t.teardown(() => socket.close())
  await socket.look()
  return { path, socket, lines, opened: () => opened, events: () => lines.map(({ event, level }) => [event, level]) }
}

t.test('it is opened, with its folder, and stays as long as it stands', async t => {
  const { path, socket, opened, lines } = await stand(t)
  t.ok(existsSync(path))
  await socket.look()
  t.equal(opened(), 1)
  t.same(lines, [])
})

for (const what of ['file', 'folder']) {
  t.test(`when somebody has removed its ${what} it is opened anew, and that is said`, async t => {
    const { path, socket, opened, events } = await stand(t)
    rmSync(what === 'file' ? path : join(path, '..'), { recursive: true })
    // Together they open it once.
    await Promise.all([socket.look(), socket.look()])
    t.ok(existsSync(path))
    t.equal(opened(), 2)
    t.same(events(), [['control-reopened', 40]])
    await socket.look()
    t.equal(opened(), 2)
  })
}

t.test('when somebody else listens there it is left to them, that is said once, and it is opened when they are gone', async t => {
  const { path, socket, opened, events } = await stand(t)
  rmSync(path)
  const other = await listen(path)
  await socket.look()
  await socket.look()
  t.equal(opened(), 1)
  t.ok(existsSync(path))
  t.same(events(), [['control-failed', 50]])
  await new Promise(resolve => other.close(resolve))
  await socket.look()
  t.equal(opened(), 2)
  t.same(events().slice(1), [['control-reopened', 40]])
})

t.test('when its folder has become a file that is said, and nothing fails', async t => {
  const { path, socket, events } = await stand(t)
  rmSync(join(path, '..'), { recursive: true })
  writeFileSync(join(path, '..'), '')
  await t.resolves(socket.look())
  await t.resolves(socket.look())
  t.same(events(), [['control-failed', 50]])
})

t.test('where it cannot be opened at first it is opened later', async t => {
  const path = join(newFolder(t), 'control.sock')
  const other = await listen(path)
  const { socket, events } = await stand(t, path)
  t.same(events(), [['control-failed', 50]])
  await new Promise(resolve => other.close(resolve))
  await socket.look()
  t.ok(existsSync(path))
  t.same(events().slice(1), [['control-reopened', 40]])
})
