import { join } from 'node:path'
import t from 'tap'
import { readPage } from '../../src/maintenance/page.ts'

t.test('a page is read as it is', async t => {
  const folder = t.testdir({ 'page.html': '<p>Grüße' })
  t.equal(Buffer.from(readPage(join(folder, 'page.html'))).toString(), '<p>Grüße')
})

t.test('a page that is not there, a folder, an empty and an enormous one are told apart', async t => {
  const folder = t.testdir({ 'empty.html': '', 'enormous.html': 'x'.repeat(1024 * 1024 + 1), folder: {} })
  const read = (name: string) => () => readPage(join(folder, name))
  t.throws(read('missing.html'), { code: 'ERR_PAGE', message: /cannot be read .*ENOENT/ })
  t.throws(read('folder'), { code: 'ERR_PAGE', message: /cannot be read .*EISDIR/ })
  t.throws(read('empty.html'), { code: 'ERR_PAGE', message: /is empty/ })
  t.throws(read('enormous.html'), { code: 'ERR_PAGE', message: /1048577 bytes long/ })
})

t.test('a page of the largest size is read', async t => {
  const folder = t.testdir({ 'page.html': 'x'.repeat(1024 * 1024) })
  t.equal(readPage(join(folder, 'page.html')).length, 1024 * 1024)
})
