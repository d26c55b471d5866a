import { existsSync } from 'node:fs'
import t from 'tap'
import { placeOf } from '../../src/cli/place.ts'

const env = { RUNTIME_DIRECTORY: '/run/some-unit', XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/somebody' }
// Where the service is installed, its socket is the one that is meant.
const ownOnly = { skip: existsSync('/run/myserver') && 'the service is installed here' }

t.test('what is named is taken', async t => {
  t.same(placeOf('some.sock', env), { path: 'some.sock', isOwn: false })
})

t.test('without a service of the system it is that of the user, never that of the unit it runs in', ownOnly, async t => {
  t.same(placeOf(undefined, env), { path: '/run/user/7/myserver/control.sock', isOwn: true })
  const { XDG_RUNTIME_DIR, ...rest } = env
  t.same(placeOf(undefined, rest), { path: '/home/somebody/.local/state/myserver/run/control.sock', isOwn: true })
})
