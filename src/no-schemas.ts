// For Fastify servers without schemas of their own: without this they load a validator and a serialiser all the same,
// which takes a good part of their start and of their memory.

import type { FastifyServerOptions } from 'fastify'

function refuse (): never {
  throw new Error('this server has no schemas')
}

export const noSchemas = {
  schemaController: { compilersFactory: { buildValidator: refuse, buildSerializer: refuse } }
} satisfies FastifyServerOptions
