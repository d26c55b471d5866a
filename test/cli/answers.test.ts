import t from 'tap'
import { parseCut, parseEntered, parseEvent, parseRefusal, parseStatus } from '../../src/cli/answers.ts'

const status = {
  mode: 'live', since: '2026-01-01T00:00:00Z', drained: false, inFlight: 0, holders: [], workers: [], stragglers: [], somethingNew: 1
}

t.test('what the service says is taken, with what a newer one says besides', async t => {
  t.equal(parseStatus(status), status)
  t.same(parseEntered({ ...status, outcome: 'entered' }), { ...status, outcome: 'entered' })
  t.equal(parseEvent({ event: 'status', status }), status)
  t.equal(parseCut({ cut: 0 }), 0)
  t.equal(parseRefusal({ error: 'why' }), 'why')
})

t.test('what others say is no answer', async t => {
  const others = [undefined, null, 1, 'text', [], {}, { message: 'page not found' }]
  for (const parse of [parseStatus, parseEntered, parseEvent, parseCut, parseRefusal]) {
    for (const other of others) t.throws(() => parse(other), Error, `${parse.name} ${JSON.stringify(other)}`)
  }
  for (const name of ['mode', 'since', 'drained', 'inFlight', 'holders', 'workers', 'stragglers']) {
    t.throws(() => parseStatus({ ...status, [name]: null }), { message: 'its answer is no status' }, name)
  }
  t.throws(() => parseEntered(status), { message: /outcome/ })
})
