import { join } from 'node:path'
import t from 'tap'
import { connectTo } from '../../src/cli/client.ts'
import { startService } from '../helpers/service.ts'

t.setTimeout(120_000)

const never = new AbortController().signal

t.test('a service that is away is followed until the patience is over, which says what was heard last', async t => {
  const service = await startService(t, { record: 'maintenance' })
  const client = connectTo({ path: join(service.folder, 'run/control.sock'), isOwn: false }, never)
  const heard = client.follow(never, 200)
  t.match((await heard.next()).value, { mode: 'maintenance' })
  service.child.kill('SIGKILL')
  let next
  do next = await heard.next(); while (next.value !== 'away')
  await t.rejects(heard.next(), { code: 3, message: /the service is not running: nobody answers on .*\nMaintenance was on when it was last heard of, and stays on through restarts: myserverctl status$/ })
})

t.test('of one that was live nothing is claimed', async t => {
  const service = await startService(t)
  const client = connectTo({ path: join(service.folder, 'run/control.sock'), isOwn: false }, never)
  t.match(await client.status(), { mode: 'live' })
  service.child.kill('SIGKILL')
  await service.ended
  await t.rejects(client.status(), { code: 3, message: /start it: systemctl start myserver$/ })
})

t.test('one that was never heard of is not waited for, unless that is asked for', async t => {
  const service = await startService(t)
  service.child.kill('SIGKILL')
  await service.ended
  const client = connectTo({ path: join(service.folder, 'run/control.sock'), isOwn: false }, never)
  await t.rejects(client.follow(never).next(), { code: 3 })
  const patient = client.follow(never, Infinity)
  t.equal((await patient.next()).value, 'away')
  await startService(t, { folder: service.folder })
  t.match((await patient.next()).value, { mode: 'live' })
  await patient.return(undefined)
})
