import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { fixture, Gate, newFolder } from '../helpers/places.ts'
import { startService } from '../helpers/service.ts'
import { ctl, Ctl } from './ctl.ts'

t.setTimeout(120_000)

t.test('off opens, and says how things stand', async t => {
  const service = await startService(t, { record: 'maintenance' })
  const { code, out, err } = await ctl(t, service, 'off')
  t.equal(code, 0)
  t.equal(err, '')
  t.match(out, /^live since /)
  t.match(out, /^worker 0 serving(, stand-in closing)?; version \d/m)
  t.equal((await service.get()).status, 200)
  t.match(await service.line('maintenance-left'), { by: /, pid \d+$/, forced: false })

  const again = await ctl(t, service, 'off', '--json')
  t.equal(again.code, 0, 'off while live changes nothing')
  t.match(JSON.parse(again.out), { mode: 'live', holders: [] })
})

t.test('off --holder gives back one claim, and a plain off ends all', async t => {
  const service = await startService(t)
  for (const holder of ['a', 'b', 'c']) await ctl(t, service, 'on', '--holder', holder)
  const one = await ctl(t, service, 'off', '--holder', 'b')
  t.equal(one.code, 0)
  t.match(one.out, /^maintenance since /)
  t.match(one.out, /^ {2}a: by/m)
  t.notMatch(one.out, /^ {2}b: by/m)
  t.equal(one.err, '')
  t.match(await service.line('maintenance-released'), { holder: 'b', remaining: 'a, c' })
  t.match(await ctl(t, service, 'off', '--holder', 'b'), { code: 0, out: /^maintenance since /, err: 'nobody of the name b holds maintenance\n' }, 'a slip of the pen')
  t.match((await ctl(t, service, 'off')).out, /^live since /)
})

t.test('while the check fails off exits with 1 and says what it saw; --force opens without it, and is logged', async t => {
  const database = join(newFolder(t), 'database.sock')
  const service = await startService(t, { env: { MAINTENANCE_CHECK: database }, record: 'maintenance' })
  const { code, out, err } = await ctl(t, service, 'off')
  t.equal(code, 1)
  t.equal(out, '')
  t.match(err, new RegExp(`^myserverctl off: the reopening check failed: connect ENOENT ${database}\n$`))
  t.equal((await service.get()).status, 503)
  t.match(await service.line('leave-refused'), { level: 50, reason: /the reopening check failed/ })

  const forced = await ctl(t, service, 'off', '--force')
  t.equal(forced.code, 0)
  t.match(await service.line('maintenance-left'), { forced: true })

  await ctl(t, service, 'on')
  const server = createServer(socket => { socket.end() }).listen(database)
  await once(server, 'listening')
  t.teardown(() => server.close())
  service.forgetLines()
  t.equal((await ctl(t, service, 'off')).code, 0)
  t.match(await service.line('maintenance-left'), { forced: false })
})

t.test('off waits until the application serves', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('reluctant.ts'), GATE: gate.path }, record: 'maintenance' })
  const off = new Ctl(t, ['off'], service)
  await service.line('leave-waiting')
  t.match((await ctl(t, service, 'status')).out, /, leaving as soon as the application and the check allow it\n/)
  gate.open()
  t.equal((await off.ended).code, 0)
  t.equal((await service.get()).status, 200)
})

t.test('off that waits for the application is refused when somebody enters again', async t => {
  const service = await startService(t, { env: { APP: fixture('reluctant.ts'), GATE: new Gate(t).path }, record: 'maintenance' })
  const off = new Ctl(t, ['off'], service)
  await service.line('leave-waiting')
  await ctl(t, service, 'on')
  const { code, err } = await off.ended
  t.equal(code, 1)
  t.match(err, /^myserverctl off: maintenance was asked for again meanwhile\n/)
})

t.test('Ctrl-C while off waits ends the waiting, with 130, and says that the service goes on', async t => {
  const gate = new Gate(t)
  const service = await startService(t, { env: { APP: fixture('reluctant.ts'), GATE: gate.path }, record: 'maintenance' })
  const off = new Ctl(t, ['off'], service)
  await service.line('leave-waiting')
  off.child.kill('SIGINT')
  const { code, err } = await off.ended
  t.equal(code, 130)
  t.match(err, /^myserverctl off: stopped waiting for the answer\. The service may do what it was asked all the same; .*myserverctl status\n$/)
  gate.open()
  await service.line('maintenance-left')
})

t.test('a record that cannot be written keeps maintenance on, and off says why', async t => {
  const service = await startService(t, { record: 'maintenance' })
  rmSync(service.stateDirectory, { recursive: true })
  writeFileSync(service.stateDirectory, 'in the way')
  const { code, err } = await ctl(t, service, 'off')
  t.equal(code, 1)
  t.match(err, /^myserverctl off: \S+maintenance\.json cannot be written \(.*\); a restart would be in maintenance again\n$/)
  t.match((await ctl(t, service, 'status')).out, /, NOT on disk: would not survive a reboot\n/)
})

for (const [what, signal, said] of [
  ['stops', 'SIGTERM', /^myserverctl off: the service is stopping; maintenance stays on until the next one is asked: myserverctl status\n$/],
  ['dies', 'SIGKILL', /^myserverctl off: the service ended the connection to \S+ without an answer\nWhat became of it is not known: maintenance stays on unless the status says otherwise: myserverctl status\n$/]
] as const) {
  t.test(`off, where the service ${what} meanwhile, says how things are`, async t => {
    const service = await startService(t, { env: { APP: fixture('reluctant.ts'), GATE: new Gate(t).path }, record: 'maintenance' })
    const off = new Ctl(t, ['off'], service)
    await service.line('leave-waiting')
    service.child.kill(signal)
    t.match(await off.ended, { code: 3, out: '', err: said })
  })
}

for (const [what, args, problem] of [
  ['a name that is none', ['--holder', ''], /--holder: expected a name/],
  ['an unknown option', ['--forced'], /Unknown option '--forced'/],
  ['a value for --force', ['--force=yes'], /does not take an argument/],
  ['a word too many', ['please'], /Unexpected argument 'please'/]
] as const) {
  t.test(`${what} is wrong usage`, async t => {
    const { code, err } = await ctl(t, {}, 'off', ...args)
    t.equal(code, 2)
    t.match(err, problem)
    t.match(err, /\nTry: myserverctl off --help\n$/)
  })
}
