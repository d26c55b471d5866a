// Without systemd's help: the checkout in the foreground and in the background, on Debian's own npm and Node.

import { bootBare, url } from './product.ts'
import { onEachSuite } from './suites.ts'

const folder = '/tmp/checkout'
const status = `curl --silent --output /dev/null --write-out '%{http_code}' ${url}/`

onEachSuite('a checkout', async (t, suite) => {
  const machine = await bootBare(t, suite)
  await machine.run(`mkdir ${folder} && cd /src && tar --exclude ./node_modules --exclude ./.git --exclude ./.tap -cf - . | tar -xf - -C ${folder}`)

  await t.test('installs', async () => {
    await machine.run(`cd ${folder} && npm ci --omit=dev --loglevel=error`, { timeoutMs: 300_000 })
  })

  const starts = [
    'npm start',
    'node_modules/.bin/node --disable-sigusr1 src/main.ts'
  ]
  for (const start of starts) {
    await t.test(`nohup ${start} serves, and pkill switches it`, async t => {
      await machine.run(`cd ${folder} && nohup ${start} >/tmp/log 2>&1 &`)
      await machine.waitFor(`cat /tmp/log; ${status}`, ({ stdout }) => stdout.endsWith('200'))
      await machine.run('pkill -USR1 myserver')
      await machine.waitFor(status, ({ stdout }) => stdout === '503')
      await machine.run('pkill -USR2 myserver')
      await machine.waitFor(status, ({ stdout }) => stdout === '200')
      await machine.run('pkill -TERM myserver')
      await machine.waitFor('pgrep myserver', ({ code }) => code === 1)
      t.match((await machine.run('cat /tmp/log')).stdout, /"stopped"/)
    })
  }
})
