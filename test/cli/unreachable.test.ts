// Exit code 3: the service cannot be reached, and the message says what stands in the way and what to do about it.

import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { SYSTEM_SOCKET } from '../../src/cli/place.ts'
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
  t.test(`${command.join(' ')} says that what --socket names is not there, and where the service has it`, async t => {
    const { folder, path } = await folderWith(t, undefined)
    t.match(await ctl(t, { folder }, ...command), {
      code: 3, out: '', err: `myserverctl ${command[0]}: there is no ${path}: is --socket right? Where systemd runs the service it is ${SYSTEM_SOCKET}: systemctl status myserver\n`
    })
  })
}

const isInstalled = { skip: existsSync('/run/myserver') && 'the service is installed here' }

t.test('without --socket both places are named, and how to start the service', isInstalled, async t => {
  const folder = newFolder(t)
  const status = new Ctl(t, ['status'], { env: { XDG_RUNTIME_DIR: folder, RUNTIME_DIRECTORY: '/run/some-unit' } })
  t.match(await status.ended, {
    code: 3,
    out: '',
    err: `myserverctl status: the service is not running: there is no ${SYSTEM_SOCKET}, nor ${folder}/myserver/control.sock of one that you run yourself; start it: systemctl start myserver\n`
  })
  t.match(await ctl(t, {}, 'status', '--socket', SYSTEM_SOCKET), {
    code: 3, err: `myserverctl status: the service is not running: there is no ${SYSTEM_SOCKET}; start it: systemctl start myserver\n`
  }, 'as the units call it')
})

t.test('the runtime directory of a unit that calls it leads nowhere else', isInstalled, async t => {
  const service = await startService(t, { env: { RUNTIME_DIRECTORY: undefined, XDG_RUNTIME_DIR: newFolder(t) } })
  const own = newFolder(t)
  const other = await startService(t, { env: { RUNTIME_DIRECTORY: join(own, 'myserver') }, record: 'maintenance' })
  t.equal(service.linesOf('control-failed').length + other.linesOf('control-failed').length, 0)
  const status = new Ctl(t, ['status'], { env: { RUNTIME_DIRECTORY: join(service.folder, 'run'), XDG_RUNTIME_DIR: own } })
  t.match(await status.ended, { code: 0, out: /^maintenance since / })
})

for (const [what, path, problem] of [
  ['a path through a file', '/etc/passwd/control.sock', 'ENOTDIR'],
  ['a path that is too long', `/tmp/${'x'.repeat(200)}`, 'EINVAL']
] as const) {
  t.test(`${what} cannot be used, and what could is told`, async t => {
    const { code, err } = await ctl(t, {}, 'status', '--socket', path)
    t.equal(code, 3)
    t.match(err, new RegExp(`^myserverctl status: ${path} cannot be used: .*${problem}.*; --socket names the control socket, which is ${SYSTEM_SOCKET} `))
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
  ['an API that wants something else', (_request, response) => { response.writeHead(400, { 'Content-Type': 'application/json' }).end('{"message":"client version 1 is too old"}\n') }, /no control socket of myserver: it/],
  ['an API that answers everything', (_request, response) => { response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}\n') }, /no control socket of myserver: its answer is no status/],
  ['a redirection', (_request, response) => { response.writeHead(302, { Location: '/' }).end('{}\n') }, /no control socket of myserver: it/],
  ['a server that breaks off', (_request, response) => {
    response.writeHead(200, { 'Content-Length': 1000 })
    response.write('{"mode":', () => response.destroy())
  }, /the service ended the connection to/],
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
  t.match(await status.ended, { code: 130, out: '', err: 'myserverctl status: stopped waiting for the answer\n' }, 'nothing was asked of it')
})

t.test('the socket can be named', async t => {
  const service = await startService(t)
  const named = await ctl(t, {}, 'status', '--socket', join(service.folder, 'run/control.sock'))
  t.equal(named.code, 0)
  t.match(await ctl(t, {}, 'status', '--socket', '/nowhere/at/all'), { code: 3, err: /there is no \/nowhere\/at\/all: is --socket right/ })
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

t.test('nobody is sent into the group of root', asAnother, async t => {
  const service = await startService(t)
  chmodSync(service.folder, 0o755)
  for (const place of ['run', 'run/control.sock']) chownSync(join(service.folder, place), 0, 0)
  const refused = new Ctl(t, ['on'], { ...service, through: asNobody('--clear-groups') })
  t.match(await refused.ended, { code: 3, err: /: no permission to use \S+control\.sock; use sudo\n/ })
})
