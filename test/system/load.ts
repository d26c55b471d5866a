// Bounded HTTP load against loopback that counts how every single request ended. It measures no
// times: what matters is that none was refused or reset.

import { Agent, get, type ClientRequest } from 'node:http'

export interface LoadOptions {
  port: number
  /** Default: 127.0.0.1. */
  host?: string
  path?: string
  /** How many requests are on their way at any time. Default: 8. */
  concurrency?: number
  /** Whether requests share connections, instead of opening one each. Default: no. */
  keepAlive?: boolean
  /** The load ends by itself after so many requests. Default: 100,000. */
  maxRequests?: number
  /** The load ends by itself after so long. Default: 60 s. */
  maxMs?: number
}

export interface Report {
  sent: number
  /** Complete answers by status. */
  statuses: Record<number, number>
  /** Connections that were not accepted. */
  refused: number
  /** Connections that were broken off before the answer began. */
  reset: number
  /** Answers that began and never ended. */
  cutOff: number
  /**
   * Requests sent over a kept connection just as the server was closing it: no client can avoid
   * that, and each tries again (RFC 9112, 9.3.1). Those that failed again are counted above.
   */
  retried: number
  /** Any other failure by its code. */
  errors: Record<string, number>
}

export interface Load {
  /** Resolves when `count` further answers with `status` (default: any) have come in. */
  answered(count: number, status?: number): Promise<void>
  /** Sends no more, waits for the last answers and reports on all. */
  stop(): Promise<Report>
}

interface Waiter { left: number, status: number | undefined, resolve: () => void, reject: (error: Error) => void }

/** A request that fails leaves this long before the next of its kind, as any client does. */
const pauseAfterFailureMs = 10

export function start (options: LoadOptions): Load {
  const { port, host = '127.0.0.1', path = '/', concurrency = 8, keepAlive = false } = options
  const { maxRequests = 100_000, maxMs = 60_000 } = options
  const report: Report = { sent: 0, statuses: {}, refused: 0, reset: 0, cutOff: 0, retried: 0, errors: {} }
  const agent = new Agent({ keepAlive, maxSockets: concurrency })
  const deadline = Date.now() + maxMs
  let waiters: Waiter[] = []
  const stopping = new AbortController()

  const lanes = Promise.all(Array.from({ length: concurrency }, async () => {
    while (!stopping.signal.aborted && report.sent < maxRequests && Date.now() < deadline) {
      report.sent++
      await requestOnce(true)
    }
  })).then(() => {
    agent.destroy()
    for (const waiter of waiters) waiter.reject(new Error(`the load ended too early: ${JSON.stringify(report)}`))
  })

  async function requestOnce (mayRetry: boolean): Promise<void> {
    const outcome = await fetchOnce({ port, host, path, agent })
    if ('status' in outcome) {
      report.statuses[outcome.status] = (report.statuses[outcome.status] ?? 0) + 1
      notify(outcome.status)
    } else if (mayRetry && outcome.wasKept && isReset(outcome.code)) {
      report.retried++
      await requestOnce(false)
    } else {
      count(outcome)
      await new Promise(resolve => { setTimeout(resolve, pauseAfterFailureMs) })
    }
  }

  function count ({ code, hadBegun }: Failure): void {
    if (hadBegun) report.cutOff++
    else if (code === 'ECONNREFUSED') report.refused++
    else if (isReset(code)) report.reset++
    else report.errors[code] = (report.errors[code] ?? 0) + 1
  }

  function notify (status: number): void {
    for (const waiter of waiters) {
      if (waiter.status !== undefined && waiter.status !== status) continue
      if (--waiter.left === 0) waiter.resolve()
    }
    waiters = waiters.filter(waiter => waiter.left > 0)
  }

  return {
    answered: (left, status) => new Promise((resolve, reject) => { waiters.push({ left, status, resolve, reject }) }),
    async stop () {
      stopping.abort()
      await lanes
      return report
    }
  }
}

interface Failure { code: string, hadBegun: boolean, wasKept: boolean }

function fetchOnce (to: { port: number, host: string, path: string, agent: Agent }): Promise<{ status: number } | Failure> {
  return new Promise(resolve => {
    let hadBegun = false
    const fail = (error: NodeJS.ErrnoException): void => {
      resolve({ code: error.code ?? error.message, hadBegun, wasKept: request.reusedSocket })
    }
    const request: ClientRequest = get(to, response => {
      hadBegun = true
      response.on('error', fail)
      response.on('end', () => { resolve({ status: response.statusCode ?? 0 }) })
      response.resume()
    })
    request.setTimeout(30_000, () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
    request.on('error', fail)
  })
}

/** Node's client says ECONNRESET for "socket hang up" too. */
function isReset (code: string): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE'
}
