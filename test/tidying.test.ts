import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { tidyWhenIdle } from '../src/tidying.ts'

const LOOK_MS = 2_000

/** What nobody needs any more, but nobody has collected. @returns whether it is still there */
async function leaveSomething (): Promise<() => boolean> {
  const left = new WeakRef({})
  // A reference that was looked at is kept until the turn is over.
  await turn()
  return () => left.deref() !== undefined
}

function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
}

t.test('a thread that has nothing to do is tidied', async t => {
  mockTimers(t)
  const isThere = await leaveSomething()
  tidyWhenIdle(() => 7)
  mock.timers.tick(LOOK_MS - 1)
  t.ok(isThere())
  await turn()
  mock.timers.tick(1)
  t.notOk(isThere())
})

t.test('one that is busy is let alone until it is not, and then tidied once', async t => {
  mockTimers(t)
  const isThere = await leaveSomething()
  let done = 0
  tidyWhenIdle(() => done)
  for (let i = 0; i < 3; i++) {
    done++
    mock.timers.tick(LOOK_MS)
    t.ok(isThere())
    await turn()
  }
  mock.timers.tick(LOOK_MS)
  t.notOk(isThere())
  const isLater = await leaveSomething()
  mock.timers.tick(10 * LOOK_MS)
  t.ok(isLater())
})
