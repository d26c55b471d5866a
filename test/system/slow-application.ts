// An application with a request that takes as long as a test wants: until /srv/released is there.

import type { FastifyInstance } from 'fastify'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export default async function slowApplication (app: FastifyInstance): Promise<void> {
  app.get('/', async () => 'the application\n')
  app.get('/slow', async () => {
    while (!existsSync('/srv/released')) await sleep(20)
    return 'slow, but complete\n'
  })
}
