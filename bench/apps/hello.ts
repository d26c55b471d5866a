// The smallest application there is, against which whatever stands in front of it weighs most.

import type { FastifyInstance } from 'fastify'

export default async function hello (app: FastifyInstance): Promise<void> {
  app.get('/', async () => ({ hello: 'world' }))
}
