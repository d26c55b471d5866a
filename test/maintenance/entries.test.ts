import fc from 'fast-check'
import t from 'tap'
import { InFlight, type Entry } from '../../src/maintenance/entries.ts'

function entry (number: number): Entry {
  return { what: `work ${number}`, startedMs: number, clientGone: false, cut: () => false }
}

t.test('it lists what was added and not deleted, the oldest first, whatever the order', async t => {
  fc.assert(fc.property(fc.array(fc.option(fc.nat())), steps => {
    const list = new InFlight()
    const model: Entry[] = []
    for (const [number, step] of steps.entries()) {
      // A number deletes one of those that are there, nothing adds one.
      if (step === null || model.length === 0) {
        const added = entry(number)
        model.push(added)
        list.add(added)
      } else {
        for (const deleted of model.splice(step % model.length, 1)) list.delete(deleted)
      }
      const listed = [...list]
      if (listed.length !== model.length || listed.some((one, index) => one !== model[index])) return false
    }
    return true
  }))
  t.pass('as a list that is kept the slow way')
})

t.test('what was deleted holds on to nothing, and can be added again', async t => {
  const list = new InFlight()
  const [first, second, third] = [entry(1), entry(2), entry(3)]
  for (const one of [first, second, third]) list.add(one)
  list.delete(second)
  t.match(second, { older: undefined, newer: undefined })
  list.add(second)
  t.same([...list].map(({ what }) => what), ['work 1', 'work 3', 'work 2'])
})
