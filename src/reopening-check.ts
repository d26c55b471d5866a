// The reopening check: asks what must be well before the site opens again, a database for example.

import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { messageOf } from './errors.ts'

/** What is asked: `http://…`, `https://…`, `tcp://host:port`, or the path of a Unix socket. */
export type CheckTarget = { kind: 'http', url: URL } | { kind: 'tcp', host: string, port: number } | { kind: 'unix', path: string }

const TIMEOUT_MS = 10_000

/** @throws Error saying what would be right */
export function parseCheckTarget (value: string): CheckTarget {
  if (value.startsWith('/')) return { kind: 'unix', path: value }
  let url
  try {
    url = new URL(value)
  } catch {
    throw new Error('expected http://…, https://…, tcp://host:port or the absolute path of a Unix socket')
  }
  if (url.protocol === 'http:' || url.protocol === 'https:') return { kind: 'http', url }
  if (url.protocol === 'tcp:' && url.port !== '' && ['', '/'].includes(url.pathname)) {
    // URL keeps the brackets of an IPv6 address, and connect() does not know them.
    return { kind: 'tcp', host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) }
  }
  throw new Error('expected http://…, https://…, tcp://host:port or the absolute path of a Unix socket')
}

/** @returns what the check saw where it did not pass: undefined means well */
export async function runCheck (target: CheckTarget, timeoutMs: number = TIMEOUT_MS): Promise<string | undefined> {
  try {
    if (target.kind === 'http') await checkHttp(target.url, timeoutMs)
    else await checkConnection(target.kind === 'unix' ? { path: target.path } : target, timeoutMs)
    return undefined
  } catch (error) {
    // Where a name has several addresses Node puts each failure into an AggregateError without a message.
    return error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error)
  }
}

// Any 2xx passes. Redirects are not followed: they often lead to a login page, which proves nothing.
async function checkHttp (url: URL, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const ask = url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = ask(url, { agent: false, headers: { 'User-Agent': 'myserver-check' }, signal: AbortSignal.timeout(timeoutMs) })
    request.once('error', error => reject(error.name === 'AbortError' || error.name === 'TimeoutError'
      ? new Error(`no answer within ${timeoutMs / 1000} s`)
      : error))
    request.once('response', response => {
      response.resume()
      const { statusCode = 0 } = response
      if (statusCode >= 200 && statusCode < 300) resolve()
      else reject(new Error(`it answered ${statusCode}`))
      request.destroy()
    })
    request.end()
  })
}

async function checkConnection (where: { path: string } | { host: string, port: number }, timeoutMs: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ ...where, timeout: timeoutMs })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('timeout', () => socket.destroy(new Error(`no connection within ${timeoutMs / 1000} s`)))
    socket.once('error', reject)
  })
}
