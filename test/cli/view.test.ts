import fc from 'fast-check'
import t from 'tap'
import { fitView, renderView, type View } from '../../src/cli/view.ts'

const list = Array.from({ length: 5 }, (_, i) => ({ text: `  straggler ${i}`, count: 1 }))
const view: View = { head: ['headline', '  holder'], list, unnamed: 3, foot: ['workers'] }
const WIDE = 100

t.test('to a pipe all of it is written, and how many more there are', async t => {
  t.same(renderView(view).split('\n'), ['headline', '  holder', ...list.map(({ text }) => text), '  and 3 more', 'workers'])
  t.equal(renderView({ ...view, list: [], unnamed: 0 }), 'headline\n  holder\nworkers')
})

t.test('where there are enough rows a terminal shows the same', async t => {
  t.equal(fitView(view, 9, WIDE), renderView(view))
})

t.test('with fewer rows the list gives way, and what is left out is counted', async t => {
  t.same(fitView(view, 8, WIDE).split('\n'), ['headline', '  holder', ...list.slice(0, 4).map(({ text }) => text), '  and 4 more', 'workers'])
  t.same(fitView(view, 5, WIDE).split('\n'), ['headline', '  holder', '  straggler 0', '  and 7 more', 'workers'])
})

t.test('a worker that is left out counts with all that it has', async t => {
  t.match(fitView({ ...view, list: [{ text: 'worker', count: 40 }] }, 4, WIDE), '  and 43 more')
})

t.test('a line that is wider than the terminal takes several rows', async t => {
  t.same(fitView({ ...view, head: ['x'.repeat(25)], foot: [] }, 5, 10).split('\n'), ['x'.repeat(25), '  and 8 more'])
  t.same(fitView({ ...view, head: ['言'.repeat(10)], foot: [], list: [], unnamed: 9 }, 2, 10).split('\n'), ['言'.repeat(10)])
})

t.test('the first line stays whatever the size', async t => {
  const size = fc.integer({ min: 1, max: 12 })
  fc.assert(fc.property(size, fc.integer({ min: 20, max: 80 }), fc.nat(30), (rows, columns, length) => {
    const list = Array.from({ length }, () => ({ text: '  GET /', count: 1 }))
    const lines = fitView({ ...view, list }, rows, columns).split('\n')
    return lines[0] === 'headline' && lines.length <= rows
  }))
  t.pass('it holds')
})
