// The client's end of the control socket: what the service can be asked.

import { setTimeout as sleep } from 'node:timers/promises'
import { paths, type Entered, type EnterRequest, type LeaveRequest, type Status } from '../control/protocol.ts'
import { messageOf } from '../errors.ts'
import { parseCut, parseEntered, parseEvent, parseRefusal, parseStatus } from './answers.ts'
import { exchange, linesOf, type Asked } from './exchange.ts'
import { Failure } from './failure.ts'
import { foreign } from './obstacle.ts'
import type { Place } from './place.ts'

// What is answered at once is answered by then.
const ANSWER_MS = 5_000
/** A restart of the service takes less; while it lasts, waiting goes on. */
export const RESTART_MS = 30_000
const RECONNECT_POLL_MS = 100

/** Each throws Failure: `refused` with the service's reason, `unreachable` or `lost` with what stands in the way. */
export interface Client {
  status (limitMs?: number): Promise<Status>
  enter (request: EnterRequest): Promise<Entered>
  /** Without a limit: leaving waits for the application and for the check. */
  leave (request: LeaveRequest): Promise<Status>
  /** @returns how many connections were closed */
  cut (): Promise<number>
  /**
   * How things stand, and again whenever that changes, across restarts of the service: while it is not there it is away.
   * @param patienceMs how long it may be away; without it, one that was never heard of may not be at all
   */
  follow (signal: AbortSignal, patienceMs?: number): AsyncGenerator<Status | 'away'>
}

/** @param interrupted ends a call that waits for its answer */
export function connectTo (place: Place, interrupted: AbortSignal): Client {
  let last: Status | undefined
  return {
    status: async (limitMs = ANSWER_MS) => hear(await call({ method: 'GET', path: paths.status, limitMs }, parseStatus)),
    enter: async body => hear(await call({ method: 'PUT', path: paths.maintenance, body, limitMs: ANSWER_MS }, parseEntered)),
    async leave ({ holder, force }) {
      const query = new URLSearchParams({ ...force && { force: 'true' }, ...holder !== undefined && { holder } })
      return hear(await call({ method: 'DELETE', path: `${paths.maintenance}?${query.toString()}` }, parseStatus))
    },
    cut: async () => await call({ method: 'DELETE', path: paths.connections, limitMs: ANSWER_MS }, parseCut),

    async * follow (signal, patienceMs) {
      let lostAtMs: number | undefined
      while (true) {
        try {
          for await (const line of linesOf(place, { method: 'GET', path: paths.events, limitMs: ANSWER_MS }, signal)) {
            const status = hear(understand(line, parseEvent))
            lostAtMs = undefined
            yield status
          }
          throw new Failure('lost', `the service ended the connection to ${place.path}`)
        } catch (error) {
          if (signal.aborted) return
          const isNews = lostAtMs === undefined
          lostAtMs ??= performance.now()
          const mayTakeMs = patienceMs ?? (last === undefined ? 0 : RESTART_MS)
          if (performance.now() - lostAtMs >= mayTakeMs) throw remembering(error)
          if (isNews) yield 'away'
        }
        await sleep(RECONNECT_POLL_MS)
      }
    }
  }

  async function call<T> (asked: Asked, parse: (answer: unknown) => T): Promise<T> {
    const isWish = asked.method !== 'GET'
    let reply
    try {
      reply = await exchange(place, asked, interrupted)
    } catch (error) {
      if (interrupted.aborted) {
        throw new Failure('interrupted', `stopped waiting for the answer${isWish
          ? '. The service may do what it was asked all the same; how things stand: myserverctl status'
          : ''}`)
      }
      if (!isWish || !(error instanceof Failure) || error.kind !== 'lost') throw remembering(error)
      throw new Failure('lost', `${error.message}\nWhat became of it is not known: ${asked.method === 'PUT' ? '' : 'maintenance stays on unless the status says otherwise: '}myserverctl status`)
    }
    const { statusCode, text } = reply
    if (statusCode === 404) throw foreign(place, `it answered 404 to ${asked.path}`)
    if (statusCode < 400) return understand(text, parse)
    const reason = understand(text, parseRefusal)
    if (statusCode === 503) throw new Failure('lost', `${reason}; maintenance stays on until the next one is asked: myserverctl status`)
    throw new Failure(statusCode === 400 || statusCode === 413 ? 'usage' : 'refused', reason)
  }

  function hear<S extends Status> (status: S): S {
    last = status
    return status
  }

  function understand<T> (text: string, parse: (answer: unknown) => T): T {
    let answer
    try {
      answer = JSON.parse(text)
    } catch {
      throw foreign(place, 'its answer is not JSON')
    }
    try {
      return parse(answer)
    } catch (error) {
      throw foreign(place, messageOf(error))
    }
  }

  function remembering (error: unknown): unknown {
    if (!(error instanceof Failure) || last?.mode !== 'maintenance') return error
    return new Failure(error.kind, `${error.message}\nMaintenance was on when it was last heard of, and stays on through restarts: myserverctl status`)
  }
}
