// Exit code 3: the service cannot be reached, and the message says what stands in the way and what to do about it.

import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { newFolder, type Scope } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

const COMMANDS = [['on'], ['off'], ['status'], ['status', '--watch'], ['wait', '--drained'], ['hold', '--holder', 'unit']] as const

/** A folder with something in place of the control socket. */
async function folderWith (t: Scope, listener: { listen (path: string): unknown, close (): unknown } | undefined): Promise<{ folder: string, path: string }> {
  const folder = newFolder(t)
  const path = join(folder, 'run/control.sock')
  mkdirSync(join(folder, 'run'))
  if (listener !== undefined) {
    await once(listener.listen(path) as ReturnType<typeof createServer>, 'listening')
    t.teardown(() => {
      if ('closeAllConnections' in listener) (listener.closeAllConnections as () => void)()
      listener.close()
    })
  }
  return { folder, path }
}

async function http (t: Scope, answer: RequestListener): Promise<{ folder: string, path: string }> {
  return await folderWith(t, createHttpServer(answer))
}

for (const command of COMMANDS) {
  t.test(`${command.join(' ')} says that the service is not running, and how to start it`, async t => {
    const { folder, path } = await folderWith(t, undefined)
    t.match(await ctl(t, { folder }, ...command), {
      code: 3, out: '', err: `myserverctl ${command[0]}: the service is not running: there is no ${path}; start it: systemctl start myserver\n`
    })
  })
}

t.test('what a killed service has left behind is told from a service', async t => {
  const service = await startService(t)
  service.child.kill('SIGKILL')
  await service.ended
  t.match(await ctl(t, service, 'status'), { code: 3, err: /: the service is not running: nobody answers on \S+control\.sock; start it: systemctl start myserver\n$/ })
})

t.test('a file that is no socket', async t => {
  const { folder, path } = await folderWith(t, undefined)
  writeFileSync(path, '')
  t.match(await ctl(t, { folder }, 'status'), { code: 3, err: `myserverctl status: ${path} is no control socket of myserver: it is no socket\n` })
})

for (const [what, answer, problem] of [
  ['a web site', (_request, response) => { response.writeHead(404, { 'Content-Type': 'text/html' }).end('<h1>Not found</h1>\n') }, /no control socket of myserver/],
  ['an API', (_request, response) => { response.writeHead(404, { 'Content-Type': 'application/json' }).end('{"message":"Not found"}\n') }, /it answered 404/],
  ['a web site with an answer for everything', (_request, response) => { response.end('<h1>Welcome</h1>\n<p>to nginx\n') }, /its answer is not JSON/],
  ['a server that hangs up', request => { request.socket.destroy() }, /the service ended the connection to/]
] as ReadonlyArray<[string, RequestListener, RegExp]>) {
  t.test(`another server: ${what}`, async t => {
    const { folder } = await http(t, answer)
    // Those that follow must not take it for a restart of the service and wait.
    for (const command of [['status'], ['off'], ['wait', '--live'], ['status', '--watch']]) {
      t.match(await ctl(t, { folder }, ...command), { code: 3, out: '', err: problem }, command.join(' '))
    }
  })
}

t.test('a server that speaks no HTTP', async t => {
  const { folder } = await folderWith(t, createServer(socket => { socket.end('220 mail.example.org ESMTP\r\n') }))
  for (const command of [['on'], ['wait', '--drained']]) {
    t.match(await ctl(t, { folder }, ...command), { code: 3, err: /is no control socket of myserver: its answer is not HTTP\n$/ })
  }
})

t.test('a server that says nothing is waited for until Ctrl-C', async t => {
  const connected = Promise.withResolvers<void>()
  const server = createServer(socket => {
    socket.on('error', () => {})
    connected.resolve()
  })
  const { folder } = await folderWith(t, server)
  const status = new Ctl(t, ['status'], { folder })
  await connected.promise
  status.child.kill('SIGINT')
  t.match(await status.ended, { code: 130, out: '', err: /stopped waiting for the answer/ })
})

t.test('the socket can be named, and otherwise is where the service under the user puts it', async t => {
  const service = await startService(t)
  const named = await ctl(t, {}, 'status', '--socket', join(service.folder, 'run/control.sock'))
  t.equal(named.code, 0)
  t.match(await ctl(t, {}, 'status', '--socket', '/nowhere/at/all'), { code: 3, err: /there is no \/nowhere\/at\/all;/ })
})

const asAnother = {
  skip: process.getuid?.() !== 0 && 'only root can become somebody else'
}
// Debian's numbers for the group games and the user nobody.
const GAMES = 60
const NOBODY = '65534'

function asNobody (groups: string): readonly string[] {
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, groups]
}

t.test('who may not connect is told so, and which group would give it', asAnother, async t => {
  const service = await startService(t)
  const run = join(service.folder, 'run')
  const path = join(run, 'control.sock')
  chmodSync(service.folder, 0o755)
  for (const place of [run, path]) chownSync(place, 0, GAMES)
  const hint = `myserverctl on: no permission to use ${path}; its group is games: use sudo, or sudo usermod -aG games $USER and log in again\n`

  const outside = new Ctl(t, ['on'], { ...service, through: asNobody('--clear-groups') })
  t.match(await outside.ended, { code: 3, out: '', err: hint }, 'where the folder keeps others out')
  chmodSync(run, 0o755)
  const refused = new Ctl(t, ['on'], { ...service, through: asNobody('--clear-groups') })
  t.match(await refused.ended, { code: 3, out: '', err: hint }, 'where the socket does')
  t.same(service.linesOf('maintenance-entered'), [])

  const inside = new Ctl(t, ['on'], { ...service, through: asNobody(`--groups=${GAMES}`) })
  t.equal((await inside.ended).code, 0)
  t.match(await service.line('maintenance-entered'), { by: /^(nobody|somebody in its group), pid \d+$/ })
})
