import t from 'tap'
import { durationMs } from '../src/duration.ts'

t.test('a number is seconds, and a unit is what it looks like', async t => {
  for (const [text, ms] of [['90', 90_000], ['90s', 90_000], ['30m', 1_800_000], ['2h', 7_200_000], ['500ms', 500], ['1.5h', 5_400_000], ['1.5', 1_500], ['0.25', 250], ['90 s', 90_000], ['0', 0]] as const) {
    t.equal(durationMs(text), ms, text)
  }
})

t.test('what is no duration is none, however long it is', async t => {
  for (const text of ['', '90 ', ' 90', '1.5 ', '90\n', '30m ', '1.', '1 5', 'abc', '-5s', '90x', '10m garbage', '5 parsecs', 'Infinity', '9'.repeat(200)]) t.equal(durationMs(text), undefined, text)
})
