import type { Readable } from 'node:stream'
import { ErrandError } from '../../../contract/errors.ts'
import type { LogPiece } from '../ports.ts'
import type { ContainerAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
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

/** False where it is gone, and its log with it. */
async function hasEnded(docker: DockerClient, id: string): Promise<boolean> {
  try {
    const { Id, State } = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
    if (!State.Running) return true
    throw new ErrandError('unavailable', `The log of the container ${Id} has ended before the container.`, {
      hint: 'Read on from the last piece.',
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

/** `2026-01-31T10:20:30.123456789Z` in seconds, with the nanoseconds as they stand there. */
function unixTime(time: string): string {
  const seconds = Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000)
  return `${seconds}.${(/\.(\d+)/.exec(time)?.[1] ?? '').padEnd(9, '0')}`
}
