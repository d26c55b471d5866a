// The reopening check: asks what must be well before the site opens again, a database for example.

import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { messageOf } from './errors.ts'

/** What is asked: `http://…`, `https://…`, `tcp://host:port`, or the path of a Unix socket. */
export type CheckTarget = { kind: 'http', url: URL } | { kind: 'tcp', host: string, port: number } | { kind: 'unix', path: string }

const TIMEOUT_MS = 10_000
const EXPECTED = 'expected http://…, https://…, tcp://host:port or the absolute path of a Unix socket'

/** @throws Error saying what would be right */
export function parseCheckTarget (value: string): CheckTarget {
  if (value.startsWith('/')) return { kind: 'unix', path: value }
  // Without the slashes `http:5432` would be the address 0.0.21.56.
  const url = /^[a-z]+:\/\/[^/]/i.test(value) ? URL.parse(value) : null
  if (url === null || url.port === '0') throw new Error(EXPECTED)
  if (url.protocol === 'http:' || url.protocol === 'https:') return { kind: 'http', url }
  if (url.protocol === 'tcp:' && url.hostname !== '' && url.port !== '' && ['', '/'].includes(url.pathname)) {
    // URL keeps the brackets of an IPv6 address, and connect() does not know them.
    return { kind: 'tcp', host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) }
  }
  throw new Error(EXPECTED)
}

/**
 * @returns what the check saw where it did not pass: undefined means well
 * @throws the signal's reason, when it is aborted
 */
export async function runCheck (
  target: CheckTarget, signal: AbortSignal, timeoutMs: number = TIMEOUT_MS
): Promise<string | undefined> {
  const late = AbortSignal.timeout(timeoutMs)
  const either = AbortSignal.any([signal, late])
  try {
    if (target.kind === 'http') await checkHttp(target.url, either)
    else await checkConnection(target.kind === 'unix' ? { path: target.path } : target, either)
    return undefined
  } catch (error) {
    signal.throwIfAborted()
    if (late.aborted) return `no ${target.kind === 'http' ? 'answer' : 'connection'} within ${timeoutMs / 1000} s`
    // Where a name has several addresses Node puts each failure into an AggregateError without a message.
    return error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error)
  }
}

// Any 2xx passes. Redirects are not followed: they often lead to a login page, which proves nothing.
async function checkHttp (url: URL, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const ask = url.protocol === 'https:' ? httpsRequest : httpRequest
    const request = ask(url, { agent: false, headers: { 'User-Agent': 'myserver-check' }, signal })
    request.once('error', reject)
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

async function checkConnection (where: { path: string } | { host: string, port: number }, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ ...where, signal })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}
