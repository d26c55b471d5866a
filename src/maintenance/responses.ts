// What a refused request gets: the page, or the same as JSON, written straight to the socket's response so that
// no hook of the application can delay or change it. It knows neither Fastify nor the switch.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** What refused requests are told. */
export interface Notice {
  /** The HTML page, as bytes; {@link NOTICE_MARK} in it is where message and end stand. */
  page: Uint8Array
  /** Seconds after which a client may try again where no end is known: Retry-After (RFC 9110, section 10.2.3). */
  retryAfterSeconds: number
  /** A sentence of the operators for the public, as plain text. */
  message?: string
  /** When maintenance is expected to end, in milliseconds since 1970. */
  endsAtMs?: number
}

export const NOTICE_MARK = '<!-- maintenance:notice -->'

// A body this small is read to its end and the connection is kept; a larger or chunked one is not waited for.
const SMALL_BODY_BYTES = 64 * 1024
// How long a client that is still sending may take to notice that it was answered.
const LINGER_MS = 5_000
// However near the end is, or however long it is past, nobody is asked back sooner.
const LEAST_RETRY_SECONDS = 10
const MOST_JITTER_SECONDS = 60
const MINUTE_MS = 60_000

/** The ready-made answer of one notice. */
export class Refusal {
  readonly #notice: Notice
  #page: Answer
  #problem: Answer
  /** The page says how many minutes are left, so it is made anew each minute. */
  #minute = -1

  constructor (notice: Notice) {
    this.#notice = notice
    this.#page = this.#makePage(Date.now())
    this.#problem = this.#makeProblem(Date.now())
  }

  /** Answers a request with 503. Node leaves the body out for HEAD. */
  send (request: IncomingMessage, response: ServerResponse): void {
    const { headers, body } = this.#answerTo(request)
    // The streams of HTTP/2 share a connection, and close by themselves.
    if (request.httpVersionMajor < 2 && bodyBytes(request) > 0) {
      closeWithoutReset(request)
      // A client that was to wait for a 100 (Continue) may send its body all the same, or the next request.
      if (bodyBytes(request) > SMALL_BODY_BYTES || request.headers.expect !== undefined) answerLast(request, response)
    }
    response.writeHead(503, headers)
    response.end(body)
  }

  /** Answers a request whose connection was handed over raw (`Upgrade`, `CONNECT`) and closes it. */
  sendRaw (request: IncomingMessage, socket: Duplex): void {
    const { headers, body } = this.#answerTo(request)
    const head = Object.entries({ ...headers, Date: new Date().toUTCString(), Connection: 'close' })
      .map(([name, value]) => `${name}: ${String(value)}\r\n`).join('')
    socket.on('error', () => socket.destroy())
    socket.write(`HTTP/1.1 503 Service Unavailable\r\n${head}\r\n`)
    socket.end(request.method === 'HEAD' ? undefined : body)
    linger(socket)
  }

  #answerTo (request: IncomingMessage): Answer {
    const { endsAtMs } = this.#notice
    const wantsProblem = acceptsOnlyJson(request.headers.accept)
    if (endsAtMs === undefined) return wantsProblem ? this.#problem : this.#page
    const nowMs = Date.now()
    const minute = Math.floor(nowMs / MINUTE_MS)
    if (minute !== this.#minute) {
      this.#minute = minute
      this.#page = this.#makePage(nowMs)
      this.#problem = this.#makeProblem(nowMs)
    }
    const { headers, body } = wantsProblem ? this.#problem : this.#page
    return { headers: { ...headers, 'Retry-After': String(secondsToWait(endsAtMs - nowMs, this.#notice.retryAfterSeconds)) }, body }
  }

  #makePage (nowMs: number): Answer {
    const page = Buffer.from(this.#notice.page)
    const mark = page.indexOf(NOTICE_MARK)
    const body = mark < 0
      ? page
      : Buffer.concat([
        page.subarray(0, mark), Buffer.from(renderNotice(this.#notice, nowMs)), page.subarray(mark + NOTICE_MARK.length)
      ])
    return this.#answer('text/html; charset=utf-8', body)
  }

  // RFC 9457, problem details for HTTP APIs.
  #makeProblem (nowMs: number): Answer {
    const { message, endsAtMs } = this.#notice
    return this.#answer('application/problem+json', Buffer.from(JSON.stringify({
      type: 'about:blank',
      title: 'Service Unavailable',
      status: 503,
      detail: message ?? 'Down for maintenance.',
      ...endsAtMs !== undefined && endsAtMs > nowMs && { until: new Date(endsAtMs).toISOString() }
    })))
  }

  #answer (type: string, body: Buffer): Answer {
    return {
      headers: {
        'Content-Type': type,
        'Content-Length': body.length,
        'Retry-After': String(this.#notice.retryAfterSeconds),
        'Cache-Control': 'no-store',
        Vary: 'Accept'
      },
      body
    }
  }
}

interface Answer {
  headers: OutgoingHttpHeaders
  body: Buffer
}

// Counts down to the end, and spreads those who come back. Once the end is past, nobody knows.
function secondsToWait (leftMs: number, withoutEnd: number): number {
  if (leftMs <= 0) return withoutEnd
  const left = Math.max(LEAST_RETRY_SECONDS, Math.ceil(leftMs / 1000))
  const jitter = Math.min(MOST_JITTER_SECONDS, Math.max(LEAST_RETRY_SECONDS, left / 10))
  return left + Math.floor(Math.random() * jitter)
}

function renderNotice ({ message, endsAtMs }: Notice, nowMs: number): string {
  const lines = message === undefined ? [] : [`<p class="message">${escapeHtml(message)}</p>`]
  if (endsAtMs !== undefined && endsAtMs > nowMs) {
    const iso = new Date(endsAtMs).toISOString()
    const day = iso.slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10) ? '' : ` on ${iso.slice(0, 10)}`
    lines.push(`<p class="end">We expect to be back at <time datetime="${iso}">${iso.slice(11, 16)} UTC${day}</time>, ` +
      `in about ${inWords(endsAtMs - nowMs)}.</p>`)
  }
  return lines.join('\n')
}

function inWords (durationMs: number): string {
  const minutes = Math.ceil(durationMs / MINUTE_MS)
  if (minutes === 1) return 'a minute'
  if (minutes < 120) return `${minutes} minutes`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`
}

function escapeHtml (text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[&<>"']/g, character => entities[character] ?? character)
}

// A browser always names text/html and curl sends */*: JSON goes only to those who ask for it and not for a page.
function acceptsOnlyJson (accept: string | undefined): boolean {
  return accept !== undefined && accept.includes('json') && !accept.includes('text/html')
}

/** How long the body is that a request announces; one of unknown length may be of any. */
function bodyBytes ({ headers }: IncomingMessage): number {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : Infinity
}

const answeredLast = Symbol('answered last')
const unread = Symbol('unread')

declare module 'node:net' {
  interface Socket {
    [answeredLast]?: true
    /** The last request that was refused before its body was read. */
    [unread]?: IncomingMessage
  }
}

/**
 * Whether a request came after one whose answer was to be the last of its connection: it must not be processed, since
 * its client will not hear of it and send it again (RFC 9112, section 9.6).
 */
export function isAfterLast (request: IncomingMessage): boolean {
  const { socket } = request
  if (socket[answeredLast] !== true) return false
  socket[unread] = request
  return true
}

function answerLast ({ socket }: IncomingMessage, response: ServerResponse): void {
  response.setHeader('Connection', 'close')
  socket[answeredLast] = true
}

// Where the connection is closed behind the answer: closing a socket while unread data waits in it makes the kernel send
// a reset, which can destroy the answer before the client has read it. So only our direction is ended, and what still
// arrives is thrown away for a while.
function closeWithoutReset (request: IncomingMessage): void {
  const { socket } = request
  if (socket[unread] === undefined) {
    const { destroySoon } = socket
    socket.destroySoon = function () {
      if (socket[unread]?.complete !== false) return destroySoon.call(socket)
      socket.end()
      socket[unread].resume()
      linger(socket)
    }
  }
  socket[unread] = request
}

function linger (socket: Duplex): void {
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('end', () => socket.destroy())
  socket.once('close', () => clearTimeout(timer))
}
