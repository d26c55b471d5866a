import t from 'tap'
import { Refusals } from '../../src/control/refusals.ts'
import { Tally } from '../../src/control/tally.ts'
import { readableLog } from '../helpers/worker-data.ts'

t.test('refused requests are summed up with the maintenance that refused them', async t => {
  let count = 0
  const { logger, lines } = readableLog()
  const refusals = new Refusals(new Tally(1, () => count), logger)
  refusals.entered()
  count += 2
  refusals.sumUp()
  count += 1
  t.equal(refusals.sinceEntering, 3)
  refusals.entered()
  t.equal(refusals.sinceEntering, 0)
  refusals.sumUp()
  count += 4
  refusals.sumUp()
  t.same(lines.map(({ refused, inAll }) => [refused, inAll]), [[2, 2], [1, 3], [4, 4]])
  t.equal(refusals.total, 7)
})
