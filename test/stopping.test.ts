import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { END_AFTER_MS, KILL_AFTER_MS, TERMINATE_AFTER_MS } from '../src/stopping.ts'
import { readConfig } from '../src/config.ts'
import { root } from './helpers/places.ts'

// The last lines are waited for, for so long: src/line-writer.ts.
const FLUSH_MS = 1_000

t.test('the threads are ended before the process, and the process ends itself before it is killed', async t => {
  t.ok(TERMINATE_AFTER_MS < END_AFTER_MS)
  t.ok(END_AFTER_MS + FLUSH_MS < KILL_AFTER_MS)
})

t.test('by default the unit leaves just that time', async t => {
  const unit = readFileSync(join(root, 'systemd/myserver.service'), 'utf8')
  const [, seconds] = /^TimeoutStopSec=(\d+)s$/m.exec(unit) ?? []
  t.ok(Number(seconds) * 1000 >= readConfig({}).shutdownGraceMs + KILL_AFTER_MS)
})
