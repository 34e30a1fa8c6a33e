import type { Readable } from 'node:stream'
import { ErrandError } from '../../contract/errors.ts'
import type { ContainerAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isGone } from '../../docker/docker-errors.ts'
import type { LogPiece } from './docker-engine.ts'

interface LogOptions {
  since?: string
  follow: boolean
  signal: AbortSignal
}

/**
 * Yields a container's log from `since` on; ends quietly when the signal aborts. The engine may end a followed log
 * before it sends the container's last piece, so the end is read once more.
 */
export async function* followLog(
  docker: DockerClient,
  id: string,
  options: LogOptions,
): AsyncGenerator<LogPiece> {
  const { since, follow, signal } = options
  const repeated = new RepeatedPieces()
  let last = since
  for await (const piece of readLog(docker, id, options)) {
    if (repeated.isRepeated(piece)) continue
    last = piece.time
    yield piece
  }
  if (!follow || signal.aborted || !(await hasEnded(docker, id))) return
  repeated.readAgain()
  for await (const piece of readLog(docker, id, { since: last, follow: false, signal }))
    if (!repeated.isRepeated(piece)) yield piece
}

async function* readLog(
  docker: DockerClient,
  id: string,
  { since, follow, signal }: LogOptions,
): AsyncGenerator<LogPiece> {
  if (signal.aborted) return
  try {
    const chunks = await logStream(docker, id, since, follow, signal)
    for await (const piece of logFrames(chunks)) {
      // An engine may begin at the whole second.
      if (since === undefined || piece.time >= since) yield piece
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Reports whether it has ended; false if it is gone, and its log with it. */
async function hasEnded(docker: DockerClient, id: string): Promise<boolean> {
  try {
    const { Id, State } = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
    if (!State.Running) return true
    throw new ErrandError('unavailable', `The log of the container ${Id} ended before the container did.`, {
      hint: 'Continue from the last piece.',
    })
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

function logStream(
  docker: DockerClient,
  id: string,
  since: string | undefined,
  follow: boolean,
  signal: AbortSignal,
): Promise<Readable> {
  const query = { stdout: true, stderr: true, timestamps: true, follow, since: since && unixTime(since) }
  return docker.open('GET', `/containers/${id}/logs`, { query, signal })
}

/** Converts `2026-01-31T10:20:30.123456789Z` to seconds, with the nanoseconds unchanged. */
function unixTime(time: string): string {
  const seconds = Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000)
  return `${seconds}.${(/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0')}`
}

const HEADER_BYTES = 8
const SPACE = 0x20
const streams: Readonly<Record<number, LogPiece['stream']>> = { 1: 'stdout', 2: 'stderr' }

/**
 * Parses a container's log in the engine's format: frames of a type (1 byte), 3 empty bytes, a length (4 bytes) and
 * that many bytes. Each frame is one piece, with its time and a space before it.
 */
export async function* logFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<LogPiece> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (rest.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + rest.readUInt32BE(at + 4)
      if (rest.length < end) break
      yield logPiece(rest[at]!, rest.subarray(at + HEADER_BYTES, end))
      at = end
    }
    rest = rest.subarray(at)
  }
}

function logPiece(kind: number, content: Buffer): LogPiece {
  const stream = streams[kind]
  const space = content.indexOf(SPACE)
  if (stream === undefined || space < 0)
    throw new Error(`a log frame of kind ${kind} without a time cannot be read`)
  return { stream, time: content.toString('latin1', 0, space), bytes: content.subarray(space + 1) }
}

type Piece = Pick<LogPiece, 'stream' | 'time' | 'bytes'>

/** Newest pieces of a stream: their time, how many have it, the first of them, and whether the last ended its line. */
interface Newest {
  time: string
  taken: number
  /** Number of pieces of that time that come again. */
  again: number
  first: Buffer
  isWhole: boolean
}
const NOTHING_YET: Readonly<Newest> = { time: '', taken: 0, again: 0, first: Buffer.alloc(0), isWhole: false }
const NEWLINE = 10

/** Milliseconds; after a clock was set back by more than this, times cannot be compared. */
const SET_BACK_MS = 50

/**
 * Recognizes pieces that the engine has sent before: when it begins a new log file, it repeats a part of the old one.
 * Times of a stream only grow, unless the clock of this machine is set back.
 */
export class RepeatedPieces {
  readonly #newest: Record<LogPiece['stream'], Newest> = {
    stdout: { ...NOTHING_YET },
    stderr: { ...NOTHING_YET },
  }
  readonly #clockMs: () => number
  #offsetMs: number

  /** Takes `clockMs`: the time of day relative to a clock that nobody can set. */
  constructor(clockMs = () => Date.now() - performance.now()) {
    this.#clockMs = clockMs
    this.#offsetMs = clockMs()
  }

  /** Expects that everything up to the newest piece may come again. */
  readAgain(): void {
    for (const newest of Object.values(this.#newest)) newest.again = newest.taken
  }

  isRepeated({ stream, time, bytes }: Piece): boolean {
    const newest = this.#newest[stream]
    if (time < newest.time && !this.#isSetBack()) {
      newest.again = newest.taken
      return true
    }
    if (time !== newest.time) {
      this.#newest[stream] = { time, taken: 1, again: 0, first: bytes, isWhole: bytes.at(-1) === NEWLINE }
      return false
    }
    // The pieces of one line share a time, and the next line has its own: only the newest line was sent again.
    if (newest.again === 0 && newest.isWhole && bytes.equals(newest.first)) newest.again = newest.taken
    if (newest.again > 0) {
      newest.again--
      return true
    }
    newest.taken++
    newest.isWhole = bytes.at(-1) === NEWLINE
    return false
  }

  #isSetBack(): boolean {
    const offsetMs = this.#clockMs()
    const isSetBack = offsetMs < this.#offsetMs - SET_BACK_MS
    this.#offsetMs = offsetMs
    if (isSetBack) for (const newest of Object.values(this.#newest)) newest.time = ''
    return isSetBack
  }
}
