// Requests to the control socket, byte for byte as a test wants them.

import { once } from 'node:events'
import { request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import type { EventLine } from '../../src/control/protocol.ts'
import type { Scope } from './places.ts'

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** The text as JSON, or undefined. */
  json: Readonly<Record<string, unknown>> | undefined
}

/** One request. What is no text is sent as JSON. */
export async function call (socketPath: string, method: string, path: string, body?: unknown, type = 'application/json'): Promise<Reply> {
  const message = request({ socketPath, method, path, agent: false, headers: body === undefined ? {} : { 'Content-Type': type } })
  message.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body))
  const [response] = await once(message, 'response') as [IncomingMessage]
  const chunks: Buffer[] = await response.toArray()
  const text = Buffer.concat(chunks).toString()
  const isJson = response.headers['content-type']?.includes('json') === true
  return { status: response.statusCode ?? 0, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
}

/** Somebody who follows the events. */
export class Follower {
  readonly lines: EventLine[] = []
  readonly request: ClientRequest
  /** Resolves when the service has ended the stream. */
  readonly ended: Promise<void>
  readonly #waiting = new Set<() => void>()

  constructor (t: Scope, socketPath: string) {
    this.request = request({ socketPath, path: '/v1/events', agent: false })
    this.request.on('error', () => {})
    t.teardown(() => this.request.destroy())
    this.ended = new Promise(resolve => {
      this.request.once('close', resolve)
      this.request.once('response', response => {
        response.on('error', () => {})
        // A stream that is cut off is an error of its lines, too.
        createInterface(response).on('error', () => {}).on('line', line => {
          this.lines.push(JSON.parse(line))
          for (const look of this.#waiting) look()
        })
      })
    })
    this.request.end()
  }

  /** The first line, from now on or before, that is as asked for. */
  async line (isIt: (line: EventLine) => boolean): Promise<EventLine> {
    return await new Promise(resolve => {
      const look = (): void => {
        const found = this.lines.find(isIt)
        if (found === undefined) return
        this.#waiting.delete(look)
        resolve(found)
      }
      this.#waiting.add(look)
      look()
    })
  }
}
