// The static site: public/ as it is, with a page for what is not there.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'

const NOT_FOUND_PAGE = '404.html'
const MAX_AGE_SECONDS = 3600

export default async function staticSite (app: FastifyInstance, { root }: { root: string }): Promise<void> {
  await app.register(fastifyStatic, {
    root,
    dotfiles: 'ignore',
    // A page must be asked for each time, since it names what else is needed; what it names may be kept for a while.
    cacheControl: false,
    setHeaders: (reply, path) => {
      reply.header('Cache-Control', path.endsWith('.html') ? 'no-cache' : `public, max-age=${MAX_AGE_SECONDS}`)
    }
  })
  const page = readIfThere(join(root, NOT_FOUND_PAGE))
  app.setNotFoundHandler((_request, reply) => {
    reply.code(404).header('Cache-Control', 'no-cache')
    if (page === undefined) return reply.type('text/plain; charset=utf-8').send('Not found\n')
    return reply.type('text/html; charset=utf-8').send(page)
  })
}

function readIfThere (path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
