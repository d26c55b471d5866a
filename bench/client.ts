// The load generator: keep-alive connections that each send their next request when the answer to the last is
// complete. It reads no more of an answer than its status, so that it costs less than any server that it measures.

import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  port: number
  path?: string
  connections?: number
  /** Called for each answer, as soon as it is complete. */
  onAnswer?: (status: number) => void
}

export interface Load {
  /** Answers so far. */
  readonly answers: number
  /** Sends no more, waits for the answers that are still to come, and closes. */
  stop (): Promise<void>
}

const CONNECTIONS = 32
const RECEIVE_BYTES = 64 * 1024

/** @returns when the first answer has come on every connection */
export async function startLoad (options: LoadOptions): Promise<Load> {
  const { port, path = '/', connections = CONNECTIONS, onAnswer } = options
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  // Answers with the same status are taken to be equally long: the headers are read once, and then bytes are counted.
  const lengths = new Map<number, number>()
  let answers = 0
  let stopping = false
  const lanes: Array<ReturnType<typeof openLane>> = []
  // One after the other: a burst of connections may all be accepted by the same worker.
  for (let i = 0; i < connections; i++) {
    const lane = openLane()
    lanes.push(lane)
    await lane.answered
  }

  return {
    get answers () { return answers },
    async stop () {
      stopping = true
      await Promise.all(lanes.map(({ ended }) => ended))
    }
  }

  function openLane (): { answered: Promise<void>, ended: Promise<void> } {
    const answered = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    let left = 0
    let status = 0
    let isDone = false

    const socket: Socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer: Buffer.alloc(RECEIVE_BYTES), callback: receive }
    }, () => socket.write(request))
    socket.on('error', fail)
    socket.on('close', () => { if (!isDone) fail(new Error(`port ${port}: the connection was closed`)) })
    return { answered: answered.promise, ended: ended.promise }

    function receive (bytes: number, buffer: Uint8Array): boolean {
      if (left === 0) {
        status = statusOf(buffer)
        let length = lengths.get(status)
        if (length === undefined) lengths.set(status, length = lengthOf(buffer.subarray(0, bytes)))
        left = length
      }
      left -= bytes
      if (left > 0) return true
      if (left < 0) {
        fail(new Error(`port ${port}: an answer with status ${status} was longer than the one before`))
        return false
      }
      answers++
      onAnswer?.(status)
      answered.resolve()
      if (stopping) done()
      else socket.write(request)
      return true
    }

    function done (): void {
      isDone = true
      socket.destroy()
      ended.resolve()
    }

    function fail (error: Error): void {
      isDone = true
      socket.destroy()
      answered.reject(error)
      ended.reject(error)
    }
  }
}

/** One request on a connection of its own. @returns the whole answer, headers and body */
export async function fetchRaw (port: number, path = '/'): Promise<string> {
  return await new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    })
    socket.on('data', chunk => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
  })
}

// `HTTP/1.1 200`: the digits stand at 9, 10 and 11.
function statusOf (answer: Uint8Array): number {
  return Number(String.fromCharCode(...answer.subarray(9, 12)))
}

function lengthOf (answer: Uint8Array): number {
  const text = Buffer.from(answer).toString('latin1')
  const head = text.indexOf('\r\n\r\n')
  const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
  if (head < 0 || length === undefined) throw new Error(`an answer without Content-Length: ${text.slice(0, 200)}`)
  return head + 4 + Number(length)
}
