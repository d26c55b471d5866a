// The maintenance page, read from its file.

import { readFileSync } from 'node:fs'
import { ServiceError, messageOf } from '../errors.ts'

// It is held in memory by every worker and sent whole to whoever asks.
const LARGEST_PAGE_BYTES = 1024 * 1024

/** @throws ServiceError ERR_PAGE, saying what is wrong with the file */
export function readPage (path: string): Uint8Array {
  let page
  try {
    page = readFileSync(path)
  } catch (error) {
    throw new ServiceError('ERR_PAGE', `cannot be read (${messageOf(error)}); expected the path of an HTML page`, error)
  }
  if (page.length === 0) throw new ServiceError('ERR_PAGE', 'is empty; expected an HTML page')
  if (page.length > LARGEST_PAGE_BYTES) {
    throw new ServiceError('ERR_PAGE', `is ${page.length} bytes long; a page has at most ${LARGEST_PAGE_BYTES}`)
  }
  return page
}
