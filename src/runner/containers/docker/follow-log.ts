import type { Readable } from 'node:stream'
import type { Container } from 'dockerode'
import { ErrandError } from '../../../contract/errors.ts'
import type { LogPiece } from '../ports.ts'
import { dial } from './dial.ts'
import { isGone } from './errors.ts'
import { logFrames } from './log-frames.ts'
import { RepeatedPieces } from './repeated-pieces.ts'

interface LogOptions {
  since?: string
  follow: boolean
  signal: AbortSignal
}

/**
 * A container's log from `since` on; ends quietly when the signal is aborted. The engine may end a log that it follows
 * with the container's last piece unsent: so the end of it is read once more.
 */
export async function* followLog(container: Container, options: LogOptions): AsyncGenerator<LogPiece> {
  const { since, follow, signal } = options
  const repeated = new RepeatedPieces()
  let last = since
  for await (const piece of readLog(container, options)) {
    if (repeated.isRepeated(piece)) continue
    last = piece.time
    yield piece
  }
  if (!follow || signal.aborted || !(await hasEnded(container))) return
  repeated.readAgain()
  for await (const piece of readLog(container, { since: last, follow: false, signal }))
    if (!repeated.isRepeated(piece)) yield piece
}

async function* readLog(
  container: Container,
  { since, follow, signal }: LogOptions,
): AsyncGenerator<LogPiece> {
  if (signal.aborted) return
  try {
    const chunks = await logStream(container, since, follow, signal)
    for await (const piece of logFrames(chunks)) {
      // An engine may begin at the whole second.
      if (since === undefined || piece.time >= since) yield piece
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** False where it is gone, and its log with it. */
async function hasEnded(container: Container): Promise<boolean> {
  try {
    const { Id, State } = await container.inspect()
    if (!State.Running) return true
    throw new ErrandError('unavailable', `The log of the container ${Id} has ended before the container.`, {
      hint: 'Read on from the last piece.',
    })
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** Asked of the client's lower half: its own call takes a log that is not followed into memory as a whole. */
function logStream(
  { id, modem }: Container,
  since: string | undefined,
  follow: boolean,
  abortSignal: AbortSignal,
): Promise<Readable> {
  const options = { stdout: true, stderr: true, timestamps: true, follow }
  const request = {
    path: `/containers/${id}/logs?`,
    method: 'GET',
    abortSignal,
    isStream: true,
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
    options: since === undefined ? options : { ...options, since: unixTime(since) },
  }
  return dial(modem, request)
}

/** `2026-01-31T10:20:30.123456789Z` in seconds, with the nanoseconds as they stand there. */
function unixTime(time: string): string {
  const seconds = Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000)
  return `${seconds}.${(/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0')}`
}
