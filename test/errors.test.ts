// Holds error codes, their uses and their documentation together, in both directions.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { errorCodes, messageOf, ServiceError } from '../src/errors.ts'
import { root } from './helpers/places.ts'

const codes = Object.keys(errorCodes).toSorted()
const CODE = /\bERR_[A-Z_]+\b/g

function sources (folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && file !== 'errors.ts')
    .map(file => readFileSync(join(folder, file), 'utf8')).join('\n')
}

function rows (markdown: string): string[][] {
  return markdown.split('\n').filter(line => line.startsWith('| `ERR_'))
    .map(line => line.split(/(?<!\\)\|/).slice(1, -1).map(cell => cell.trim()))
}

const source = sources(join(root, 'src'))
const documentation = readFileSync(join(root, 'docs/errors.md'), 'utf8')

t.test('every code is thrown somewhere', async t => {
  const thrown = new Set([...source.matchAll(/new ServiceError\(\s*'(ERR_[A-Z_]+)'/g)].map(([, code]) => code))
  t.same([...thrown].toSorted(), codes)
})

t.test('no source names a code that is not in the table', async t => {
  // Codes of Node's own have other names where they are used here.
  const known = new Set<string>(codes)
  t.same([...new Set(source.match(CODE))].filter(code => !known.has(code)), [])
})

t.test('every code is documented: in one row, with what it means and what to do', async t => {
  const table = rows(documentation)
  t.same(table.map(([code = '']) => code.replaceAll('`', '')).toSorted(), codes)
  for (const [code, means = '', remedy = ''] of table) {
    t.ok(means.length > 10 && remedy.length > 10, `${code} says what it means and what to do`)
  }
})

t.test('the documentation names no code that is not there', async t => {
  const known = new Set<string>(codes)
  t.same([...new Set(documentation.match(CODE))].filter(code => !known.has(code)), [])
})

t.test('an error carries its code, its message and its cause', async t => {
  const cause = new Error('below')
  const error = new ServiceError('ERR_LISTEN', 'above', cause)
  t.match(error, { name: 'ServiceError', code: 'ERR_LISTEN', message: 'above', cause })
  t.notOk('cause' in new ServiceError('ERR_LISTEN', 'above'))
})

t.test('whatever was thrown has a message', async t => {
  t.equal(messageOf(new Error('said')), 'said')
  t.equal(messageOf('thrown'), 'thrown')
  t.equal(messageOf(undefined), 'undefined')
})
