// One request to the control socket and what comes back, as text, within a limit.

import { request as httpRequest, type IncomingMessage } from 'node:http'
import { broken, foreign, mute, obstacle } from './obstacle.ts'
import type { Place } from './place.ts'

export interface Asked {
  method: 'GET' | 'PUT' | 'DELETE'
  path: string
  body?: unknown
  /** How long it may take until the answer is there, or its first line; undefined: for ever. */
  limitMs?: number
}

export interface Reply {
  statusCode: number
  text: string
}

/** @throws Failure `unreachable` or `lost`; when aborted, whatever comes of it */
export async function exchange (place: Place, asked: Asked, signal: AbortSignal): Promise<Reply> {
  const limit = limitOf(asked)
  try {
    const response = await send(place, asked, AbortSignal.any([signal, limit.signal]))
    let text = ''
    for await (const chunk of textOf(place, response)) text += chunk
    return { statusCode: response.statusCode ?? 0, text }
  } catch (error) {
    throw limit.signal.aborted ? mute(place, limit.ms) : error
  } finally {
    limit.lift()
  }
}

/** The lines of an answer without an end. Leaving the loop early ends the connection. @throws as {@link exchange} */
export async function * linesOf (place: Place, asked: Asked, signal: AbortSignal): AsyncGenerator<string> {
  const limit = limitOf(asked)
  try {
    const response = await send(place, asked, AbortSignal.any([signal, limit.signal]))
    if (response.statusCode !== 200) throw foreign(place, `it answered ${response.statusCode} to ${asked.path}`)
    let rest = ''
    for await (const chunk of textOf(place, response)) {
      const lines = `${rest}${chunk}`.split('\n')
      rest = lines.pop() ?? ''
      if (lines.length > 0) limit.lift()
      yield * lines
    }
  } catch (error) {
    throw limit.signal.aborted ? mute(place, limit.ms) : error
  } finally {
    limit.lift()
  }
}

async function send (place: Place, { method, path, body }: Asked, signal: AbortSignal): Promise<IncomingMessage> {
  const content = body === undefined ? undefined : JSON.stringify(body)
  return await new Promise((resolve, reject) => {
    const request = httpRequest({
      socketPath: place.path,
      method,
      path,
      agent: false,
      signal,
      headers: content === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(content) }
    }, resolve)
    request.once('error', error => reject(obstacle(place, error)))
    request.end(content)
  })
}

async function * textOf (place: Place, response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield * response.setEncoding('utf8')
  } catch {
    throw broken(place)
  }
}

function limitOf ({ limitMs }: Asked): { signal: AbortSignal, ms: number, lift (): void } {
  const over = new AbortController()
  const timer = limitMs === undefined ? undefined : setTimeout(() => over.abort(), limitMs)
  return { signal: over.signal, ms: limitMs ?? Infinity, lift: () => clearTimeout(timer) }
}
