// What is said over the control socket: HTTP with JSON, version 1. Both ends import this file and nothing else of
// each other. What comes over the wire is checked here, and trusted after that.

/** The paths. Everything but /metrics is versioned. */
export const paths = {
  status: '/v1/status',
  maintenance: '/v1/maintenance',
  connections: '/v1/connections',
  events: '/v1/events',
  metrics: '/metrics'
} as const

/** What happens when an end time passes: stay in maintenance and complain, open, or open once the check passes. */
export const endings = ['stay', 'open', 'check'] as const
export type Ending = typeof endings[number]

/** The holder that signals and a plain `on` speak for. */
export const OPERATOR = 'operator'

/** Who wants maintenance, as it is shown. Times are ISO 8601 in UTC. */
export interface HolderStatus {
  name: string
  by: string
  since: string
  reason?: string
  message?: string
  until?: string
  then?: Ending
  overdue: boolean
}

export interface WorkerStatus {
  worker: number
  role: 'application' | 'stand-in'
  state: 'down' | 'loading' | 'serving' | 'stuck' | 'closing'
  inFlight: number
  /** Milliseconds since it last showed that its event loop turns. */
  silentMs: number
}

/** Something in flight. */
export interface NamedStraggler {
  worker: number
  /** `GET /orders/:id`, `UPGRADE /chat`, or the name of work that the application began. */
  what: string
  ageMs: number
  /** Whether its client has gone, and only its handler runs on. */
  clientGone: boolean
}

/** A worker that did not answer when it was asked what it has in flight. */
export type UnansweredWorker = Pick<WorkerStatus, 'worker' | 'inFlight' | 'silentMs'>

export type Straggler = NamedStraggler | UnansweredWorker
/** So many are named, and no more. */
export const MOST_STRAGGLERS = 20

/** GET /v1/status, and each line of GET /v1/events. */
export interface Status {
  version: string
  mode: 'live' | 'maintenance'
  since: string
  by: string
  drained: boolean
  inFlight: number
  refused: number
  /** Whether a reboot would find the same mode. */
  durable: boolean
  /** Whether it would find the holders, too. */
  recorded: boolean
  /** Whether leaving waits for the application or the check. */
  leaving: boolean
  holders: HolderStatus[]
  workers: WorkerStatus[]
  /** In maintenance the workers that cannot tell what they have in flight, and the oldest of what the others have. */
  stragglers: Straggler[]
}

/** PUT /v1/maintenance: enter, or change what a holder said before. */
export interface EnterRequest {
  holder: string
  reason?: string
  message?: string
  /** The end as a time on the clock, or as a duration: one or none of the two. */
  until?: string
  forMs?: number
  then?: Ending
}

/** What became of a PUT: maintenance was live before; one more holds it now; what was said has changed; or nothing has. */
export type Outcome = 'entered' | 'joined' | 'updated' | 'unchanged'

/** The answer to it. */
export interface Entered extends Status {
  outcome: Outcome
}

/** DELETE /v1/maintenance: leave. */
export interface LeaveRequest {
  /** Whose claim to end; without it all of them. */
  holder?: string
  /** Whether to open without the reopening check. */
  force: boolean
}

/** The body of an answer with an error status. */
export interface Refused {
  error: string
}

/** The line's wording is for people; the status that it carries is the whole truth at that moment. */
export interface EventLine {
  event: string
  status: Status
}

/** Why leaving is refused by a process that ends: the next one can be asked. */
export const STOPPING = 'the service is stopping'

/** What is wrong with a field of a request. */
export class FieldError extends Error {
  readonly field: string
  readonly problem: string

  constructor (field: string, problem: string) {
    super(`${field}: ${problem}`)
    this.field = field
    this.problem = problem
  }
}

const MOST_NAME = 100
const NAME = new RegExp(`^[\\w.@:-]{1,${MOST_NAME}}$`)
const MOST_TEXT = 500
const MOST_FOR_MS = 366 * 24 * 3600 * 1000
const TIME = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/

/** @throws Error naming the field, what was wrong with it and what would be right */
export function parseEnter (body: unknown, now: Date): EnterRequest {
  const fields = objectWith(body, ['holder', 'reason', 'message', 'until', 'forMs', 'then'])
  const request: EnterRequest = { holder: parseHolder(fields.holder ?? OPERATOR) }
  for (const name of ['reason', 'message'] as const) {
    if (fields[name] !== undefined) request[name] = parseText(name, fields[name])
  }
  if (fields.until !== undefined && fields.forMs !== undefined) throw new Error('until and forMs: expected one of them')
  if (fields.until !== undefined) request.until = parseUntil(fields.until, now)
  if (fields.forMs !== undefined) request.forMs = parseForMs(fields.forMs)
  if (fields.then !== undefined) {
    const then = endings.find(ending => ending === fields.then)
    if (then === undefined) throw new FieldError('then', `expected one of ${endings.join(', ')}, got ${JSON.stringify(fields.then)}`)
    if (request.until === undefined && request.forMs === undefined) {
      throw new FieldError('then', `${then} needs an end time (until or forMs)`)
    }
    request.then = then
  }
  return request
}

/** @throws Error as {@link parseEnter} */
export function parseLeave (query: unknown): LeaveRequest {
  const fields = objectWith(query, ['holder', 'force'])
  if (fields.force !== undefined && fields.force !== 'true') throw new FieldError('force', 'expected true, or nothing')
  const force = fields.force === 'true'
  return fields.holder === undefined ? { force } : { force, holder: parseHolder(fields.holder) }
}

/** @throws Error where the name is no fit one */
export function parseHolder (value: unknown): string {
  if (typeof value !== 'string' || !NAME.test(value)) {
    throw new FieldError('holder', `expected a name of up to ${MOST_NAME} letters, digits and . @ : - _, got ${shorten(value)}`)
  }
  return value
}

function objectWith (value: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('expected a JSON object')
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) throw new FieldError(name, `unknown; expected ${known.join(', ')}`)
  }
  return value as Record<string, unknown>
}

function parseText (name: string, value: unknown): string {
  // Control characters, line separators and bidirectional overrides would disguise what a line says.
  if (typeof value !== 'string' || value === '' || value.length > MOST_TEXT || /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u.test(value)) {
    throw new FieldError(name, `expected one line of 1 to ${MOST_TEXT} characters`)
  }
  return value
}

function parseUntil (value: unknown, now: Date): string {
  const date = typeof value === 'string' ? parseIsoTime(value) : undefined
  if (date === undefined) throw new FieldError('until', `expected a time such as 2026-12-01T03:30:00Z, got ${shorten(value)}`)
  if (date <= now) throw new FieldError('until', `${date.toISOString()} is over; it is ${now.toISOString()}`)
  if (date.getTime() - now.getTime() > MOST_FOR_MS) throw new FieldError('until', 'expected a time within a year')
  return date.toISOString()
}

/** ISO 8601, in local time where it names no zone. @returns undefined where it is none, or a day that no month has */
export function parseIsoTime (text: string): Date | undefined {
  const [, year, month, day] = TIME.exec(text) ?? []
  const date = new Date(text)
  // Date takes the 30th of February for the 2nd of March.
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day)
  return isDay && !Number.isNaN(date.getTime()) ? date : undefined
}

function parseForMs (value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new FieldError('forMs', `expected milliseconds, got ${shorten(value)}`)
  if (value <= 0 || value > MOST_FOR_MS) throw new FieldError('forMs', 'expected more than zero and at most a year')
  return value
}

function shorten (value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 2 * MOST_NAME)
}
