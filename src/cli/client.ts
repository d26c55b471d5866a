// The client's end of the control socket.

import { readFileSync, statSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { paths, type EventLine, type Refused } from '../control/protocol.ts'
import { messageOf } from '../errors.ts'
import { Failure } from './failure.ts'

// A restart of the service takes less; while it lasts, waiting goes on.
const RESTART_MS = 30_000
const RECONNECT_POLL_MS = 100

export interface Client {
  /**
   * @returns the answer's body
   * @throws Failure `refused` with the service's reason, or `unreachable` with what stands in the way
   */
  call<T> (method: 'GET' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T>
  /**
   * The events from now on, across restarts of the service; the first tells how things stand.
   * @param patienceMs how long the service may be away, once it has answered
   */
  follow (signal: AbortSignal, patienceMs?: number): AsyncGenerator<EventLine>
}

/** @param interrupted ends a call that waits for its answer */
export function connectTo (socketPath: string, interrupted: AbortSignal): Client {
  // Whoever has answered once is worth waiting for.
  let hasAnswered = false
  return {
    async call<T> (method: 'GET' | 'PUT' | 'DELETE', path: string, body?: unknown) {
      const { statusCode = 500, text } = await ask(method, path, body)
      const answer = parse(socketPath, text)
      if (statusCode === 404) throw foreign(socketPath, `it answered 404 to ${path}`)
      hasAnswered = true
      if (statusCode >= 400) {
        const { error } = answer as Partial<Refused>
        throw new Failure(statusCode === 400 ? 'usage' : 'refused', error ?? `the service answered ${statusCode}`)
      }
      return answer as T
    },

    async * follow (signal, patienceMs = RESTART_MS) {
      let lostAtMs: number | undefined
      while (true) {
        try {
          const response = await send(socketPath, 'GET', paths.events, undefined, signal)
          if (response.statusCode !== 200) throw foreign(socketPath, `it answered ${response.statusCode} to ${paths.events}`)
          for await (const line of linesOf(response)) {
            const event = parse(socketPath, line) as EventLine
            hasAnswered = true
            lostAtMs = undefined
            yield event
          }
          throw new Failure('unreachable', `the service ended the connection to ${socketPath}`)
        } catch (error) {
          if (signal.aborted) return
          lostAtMs ??= performance.now()
          if (!hasAnswered || performance.now() - lostAtMs > patienceMs) throw error
        }
        await sleep(RECONNECT_POLL_MS)
      }
    }
  }

  async function ask (method: string, path: string, body: unknown): Promise<{ statusCode: number | undefined, text: string }> {
    try {
      const response = await send(socketPath, method, path, body, interrupted)
      let text = ''
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      return { statusCode: response.statusCode, text }
    } catch (error) {
      if (!interrupted.aborted) throw error
      throw new Failure('interrupted', 'stopped waiting for the answer. ' +
        'The service does what it was asked all the same; how things stand: myserverctl status')
    }
  }
}

// Leaving the loop early destroys the response, and with it the connection.
async function * linesOf (response: IncomingMessage): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n')
    rest = lines.pop() ?? ''
    yield * lines
  }
}

async function send (socketPath: string, method: string, path: string, body: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
  const content = body === undefined ? undefined : JSON.stringify(body)
  return await new Promise((resolve, reject) => {
    const request = httpRequest({
      socketPath,
      method,
      path,
      agent: false,
      headers: content === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(content) },
      ...signal !== undefined && { signal }
    }, resolve)
    request.once('error', error => reject(unreachable(socketPath, error)))
    request.end(content)
  })
}

function parse (socketPath: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw foreign(socketPath, 'its answer is not JSON')
  }
}

function foreign (path: string, why: string): Failure {
  return new Failure('unreachable', `${path} is no control socket of myserver: ${why}`)
}

function unreachable (path: string, error: NodeJS.ErrnoException): Error {
  // The kernel refuses a connection to a file of any kind: unix(7).
  if (error.code === 'ECONNREFUSED' && !isSocket(path)) return foreign(path, 'it is no socket')
  const why = {
    ENOENT: `the service is not running: there is no ${path}; start it: systemctl start myserver`,
    ECONNREFUSED: `the service is not running: nobody answers on ${path}; start it: systemctl start myserver`,
    EACCES: `no permission to use ${path}; ${permissionHint(path)}`,
    ECONNRESET: `the service ended the connection to ${path}`
  }[error.code ?? '']
  if ((error.code ?? '').startsWith('HPE_')) return foreign(path, 'its answer is not HTTP')
  return new Failure('unreachable', why ?? `${path}: ${messageOf(error)}`)
}

function isSocket (path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() !== false
}

// The socket itself may be out of sight; its folder's group is the same.
function permissionHint (path: string): string {
  for (const place of [path, path.slice(0, path.lastIndexOf('/'))]) {
    try {
      const group = groupName(statSync(place).gid)
      return `its group is ${group}: use sudo, or sudo usermod -aG ${group} $USER and log in again`
    } catch {}
  }
  return 'use sudo'
}

function groupName (gid: number): string {
  const lines = readFileSync('/etc/group', 'utf8').split('\n').map(line => line.split(':'))
  return lines.find(([, , id]) => id === String(gid))?.[0] ?? String(gid)
}
