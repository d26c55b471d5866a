// What the service is measured against, in a process of its own: `PORT=n node bench/peer.ts KIND`.
//   bare    node:http that sends the headers and the body that stand in the file $ANSWER, and does nothing else
//   hello   the smallest Fastify application        hello+plugin  the same behind the maintenance plugin
//   site    the static site                         site+plugin   the same behind the maintenance plugin

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import Fastify, { type FastifyInstance } from 'fastify'
import { page as pagePath, publicDir, retryAfterSeconds } from './defaults.ts'
import hello from './apps/hello.ts'
import maintenance, { frameworkErrors } from '../src/maintenance/plugin.ts'
import staticSite from '../src/serve/static-site.ts'

const [kind = ''] = process.argv.slice(2)
const listen = { port: Number(process.env.PORT), host: '127.0.0.1' }
if (kind === 'bare') serveBare()
else await serveApplication()

function serveBare (): void {
  const answer = readFileSync(process.env.ANSWER ?? '', 'latin1')
  const end = answer.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = answer.slice(0, end).split('\r\n')
  const status = Number(statusLine.split(' ')[1])
  // Node adds these two by itself, here as there.
  const headers = Object.fromEntries(lines
    .filter(line => !/^(date|connection):/i.test(line))
    .map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
  const body = Buffer.from(answer.slice(end + 4), 'latin1')
  createServer((_request, response) => {
    response.writeHead(status, headers)
    response.end(body)
  }).listen(listen)
}

async function serveApplication (): Promise<void> {
  const [application, plugin] = kind.split('+')
  const page = readFileSync(pagePath)
  const app: FastifyInstance = Fastify({ frameworkErrors })
  if (plugin !== undefined) await app.register(maintenance, { page, retryAfterSeconds })
  if (application === 'hello') await app.register(hello)
  else await app.register(staticSite, { root: publicDir })
  await app.listen(listen)
}
