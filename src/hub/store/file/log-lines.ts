import { readSync } from 'node:fs'
import type { RunEvent } from '../../../contract/events.ts'
import type { RunPatch, RunSpec } from '../../../contract/run.ts'
import type { Change } from '../run-record.ts'

/**
 * The lines of `events.jsonl`. The first is the spec. A commit is its events, one a line as they are, and a line
 * that closes it: events with none after them were never committed.
 */
export type LogLine = { spec: RunSpec } | RunEvent | { commit: Commit }

export interface Commit {
  last_seq: number
  /** A field that was taken away is null here. */
  patch?: Record<string, unknown>
}

const CHUNK_BYTES = 256 * 1024

export const specLine = (spec: RunSpec): string => `${JSON.stringify({ spec })}\n`

/** The lines of one commit, each with its newline; the closing line is the last. */
export function commitLines(lastSeq: number, change: Change): string[] {
  const { events, patch } = change
  const commit: Commit = { last_seq: lastSeq + events.length }
  if (patch !== undefined)
    commit.patch = Object.fromEntries(Object.entries(patch).map(([key, value]) => [key, value ?? null]))
  return [...events, { commit }].map((line) => `${JSON.stringify(line)}\n`)
}

export const commitPatch = (commit: Commit): RunPatch =>
  Object.fromEntries(
    Object.entries(commit.patch ?? {}).map(([key, value]) => [key, value ?? undefined]),
  ) as RunPatch

/** A line, or undefined where it is none: what a crash or a damaged disk leaves. */
export function parseLine(text: string): LogLine | undefined {
  try {
    const line: unknown = JSON.parse(text)
    if (typeof line !== 'object' || line === null) return undefined
    return 'spec' in line || 'seq' in line || 'commit' in line ? (line as LogLine) : undefined
  } catch {
    return undefined
  }
}

/** Whole lines between two offsets, each with the offsets where it starts and where the next one does. */
export function* readLines(
  descriptor: number,
  from: number,
  to: number,
): Generator<{ text: string; start: number; end: number }> {
  let rest: Buffer = Buffer.alloc(0)
  let start = from
  for (let at = from; at < to; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, to - at))
    const count = readSync(descriptor, chunk, 0, chunk.length, at)
    if (count === 0) return
    at += count
    rest = Buffer.concat([rest, chunk.subarray(0, count)])
    let lineStart = 0
    for (let newline = rest.indexOf(10); newline >= 0; newline = rest.indexOf(10, lineStart)) {
      const end = start + newline + 1 - lineStart
      yield { text: rest.toString('utf8', lineStart, newline), start, end }
      start = end
      lineStart = newline + 1
    }
    rest = rest.subarray(lineStart)
  }
}
