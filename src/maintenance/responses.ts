// What a refused request gets: the page, or the same as JSON, written straight to the socket's response so that
// no hook of the application can delay or change it. It knows neither Fastify nor the switch.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** What refused requests are told. */
export interface Notice {
  /** The HTML page, as bytes. */
  page: Uint8Array
  /** Seconds after which a client may try again: the Retry-After header (RFC 9110, section 10.2.3). */
  retryAfterSeconds: number
}

// A body this small is read to its end and the connection is kept; a larger or chunked one is not waited for.
const SMALL_BODY_BYTES = 64 * 1024
// How long a client that is still sending may take to notice that it was answered.
const LINGER_MS = 5_000

// RFC 9457, problem details for HTTP APIs.
const PROBLEM = Buffer.from(JSON.stringify({
  type: 'about:blank',
  title: 'Service Unavailable',
  status: 503,
  detail: 'Down for maintenance.'
}))

/** The ready-made answer of one notice. */
export class Refusal {
  readonly #page: Buffer
  readonly #pageHeaders: OutgoingHttpHeaders
  readonly #problemHeaders: OutgoingHttpHeaders

  constructor (notice: Notice) {
    this.#page = Buffer.from(notice.page)
    const common = {
      'Retry-After': String(notice.retryAfterSeconds),
      'Cache-Control': 'no-store',
      Vary: 'Accept'
    }
    this.#pageHeaders = { 'Content-Type': 'text/html; charset=utf-8', 'Content-Length': this.#page.length, ...common }
    this.#problemHeaders = {
      'Content-Type': 'application/problem+json', 'Content-Length': PROBLEM.length, ...common
    }
  }

  /** Answers a request with 503. Node leaves the body out for HEAD. */
  send (request: IncomingMessage, response: ServerResponse): void {
    const prefersJson = acceptsOnlyJson(request.headers.accept)
    if (isLargeUpload(request)) closeWithoutReset(request, response)
    response.writeHead(503, prefersJson ? this.#problemHeaders : this.#pageHeaders)
    response.end(prefersJson ? PROBLEM : this.#page)
  }

  /** Answers a request whose connection was handed over raw (`Upgrade`, `CONNECT`) and closes it. */
  sendRaw (request: IncomingMessage, socket: Duplex): void {
    const prefersJson = acceptsOnlyJson(request.headers.accept)
    const headers = prefersJson ? this.#problemHeaders : this.#pageHeaders
    const head = Object.entries({ ...headers, Date: new Date().toUTCString(), Connection: 'close' })
      .map(([name, value]) => `${name}: ${String(value)}\r\n`).join('')
    socket.on('error', () => socket.destroy())
    socket.write(`HTTP/1.1 503 Service Unavailable\r\n${head}\r\n`)
    socket.end(prefersJson ? PROBLEM : this.#page)
    linger(socket)
  }
}

// A browser always names text/html and curl sends */*: JSON goes only to those who ask for it and not for a page.
function acceptsOnlyJson (accept: string | undefined): boolean {
  return accept !== undefined && accept.includes('json') && !accept.includes('text/html')
}

function isLargeUpload (request: IncomingMessage): boolean {
  const { headers } = request
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > SMALL_BODY_BYTES
}

// Closing a socket while unread data waits in it makes the kernel send a reset, which can destroy the answer before
// the client has read it. So only our direction is ended, and what still arrives is thrown away for a while.
function closeWithoutReset (request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('Connection', 'close')
  const { socket } = request
  socket.destroySoon = () => {
    socket.end()
    request.resume()
    linger(socket)
  }
}

function linger (socket: Duplex): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('end', () => socket.destroy())
  socket.once('close', () => clearTimeout(timer))
}
