// What the service is measured against, in a process of its own: `PORT=n node bench/peer.ts KIND`.
//   bare    node:http that sends the refusal's bytes and headers, and does nothing else
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
const page = readFileSync(pagePath)
if (kind === 'bare') serveBare()
else await serveApplication()

function serveBare (): void {
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': page.length,
    'Retry-After': String(retryAfterSeconds),
    'Cache-Control': 'no-store',
    Vary: 'Accept'
  }
  createServer((_request, response) => {
    response.writeHead(503, headers)
    response.end(page)
  }).listen(listen)
}

async function serveApplication (): Promise<void> {
  const [application, plugin] = kind.split('+')
  const app: FastifyInstance = Fastify({ frameworkErrors })
  if (plugin !== undefined) await app.register(maintenance, { page, retryAfterSeconds })
  if (application === 'hello') await app.register(hello)
  else await app.register(staticSite, { root: publicDir })
  await app.listen(listen)
}
