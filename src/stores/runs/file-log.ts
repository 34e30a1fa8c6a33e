import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'
import { diskError } from '../disk-errors.ts'
import { applyPatch, type Change, checkOrder, newRecord } from './run-record.ts'

/** The `events.jsonl` of one run, and the record that follows from it. */
export class RunLog {
  readonly #file: string
  #record: RunRecord | undefined
  /** Bytes up to the end of the last commit; the rest is torn. */
  #bytes = 0
  /** Offset of event n, at index n - 1. */
  readonly #starts: number[] = []

  constructor(file: string) {
    this.#file = file
  }

  /** Returns the length of what is committed. */
  get bytes(): number {
    return this.#bytes
  }

  /** Returns the record as of the last `refresh` or `append`. Undefined when the log has no commit. */
  get record(): RunRecord | undefined {
    return this.#record
  }

  /** Reads commits since the last time, including those of another process. */
  refresh(): void {
    this.#opened('r', (descriptor) => this.#scan(descriptor, fstatSync(descriptor).size))
  }

  /** Returns events with seq > after, out of those at the last `refresh`. */
  events(after: number, limit: number): RunEvent[] {
    const from = this.#starts[after]
    if (from === undefined) return []
    const to = this.#starts[after + limit] ?? this.#bytes
    return this.#opened('r', (descriptor) => {
      const events: RunEvent[] = []
      for (const { text } of readLines(descriptor, from, to)) {
        const line = parseLine(text)
        if (line !== undefined && 'seq' in line) events.push(line)
      }
      return events
    })
  }

  /** Writes one commit, which is on disk when this returns. The record must exist. Throws `conflict`, `disk_full`. */
  append(change: Change): void {
    const record = this.#record!
    checkOrder(record.run_id, record.last_seq, change.events)
    const lines = commitLines(record.last_seq, change).map((line) => Buffer.from(line))
    this.#opened('r+', (descriptor) => {
      // Cuts off what a crash has left after the last commit.
      if (fstatSync(descriptor).size > this.#bytes) ftruncateSync(descriptor, this.#bytes)
      this.#write(descriptor, Buffer.concat(lines))
    })
    for (const [index, line] of lines.entries()) {
      if (index < change.events.length) this.#starts.push(this.#bytes)
      this.#bytes += line.length
    }
    record.last_seq += change.events.length
    applyPatch(record, change.patch)
  }

  #write(descriptor: number, bytes: Buffer): void {
    try {
      for (let done = 0; done < bytes.length; )
        done += writeSync(descriptor, bytes, done, bytes.length - done, this.#bytes + done)
      fdatasyncSync(descriptor)
    } catch (error) {
      ftruncateSync(descriptor, this.#bytes)
      throw error
    }
  }

  #scan(descriptor: number, size: number): void {
    let starts: number[] = []
    let badAt: number | undefined
    for (const { text, start, end } of readLines(descriptor, this.#bytes, size)) {
      const line = parseLine(text)
      if (line === undefined) badAt ??= start
      else if (badAt !== undefined) throw this.#damaged(badAt)
      else if ('spec' in line) this.#record = newRecord(line.spec)
      else if ('seq' in line) starts.push(start)
      else {
        if (this.#record === undefined) throw this.#damaged(0)
        for (const at of starts) this.#starts.push(at)
        starts = []
        this.#bytes = end
        this.#record.last_seq = line.commit.last_seq
        applyPatch(this.#record, commitPatch(line.commit))
      }
    }
    if (this.#bytes === 0) this.#record = undefined
  }

  #opened<T>(flags: 'r' | 'r+', work: (descriptor: number) => T): T {
    try {
      const descriptor = openSync(this.#file, flags)
      try {
        return work(descriptor)
      } finally {
        closeSync(descriptor)
      }
    } catch (error) {
      throw diskError(error, this.#file)
    }
  }

  #damaged(at: number): ErrandError {
    return new ErrandError('store_failed', `${this.#file} is damaged at byte ${at}.`, {
      hint: 'Replace it with a backup, or move the folder of that run away.',
    })
  }
}

/**
 * The lines of `events.jsonl`. The first is the spec. A commit is its events, one unchanged per line, and a line that
 * closes it: events without a closing line were never committed.
 */
type LogLine = { spec: RunSpec } | RunEvent | { commit: Commit }

interface Commit {
  last_seq: number
  /** A removed field is null here. */
  patch?: Record<string, unknown>
}

const CHUNK_BYTES = 256 * 1024

export const specLine = (spec: RunSpec): string => `${JSON.stringify({ spec })}\n`

/** Returns the lines of one commit, each with its newline; the closing line is the last. */
export function commitLines(lastSeq: number, change: Change): string[] {
  const { events, patch } = change
  const commit: Commit = { last_seq: lastSeq + events.length }
  if (patch !== undefined)
    commit.patch = Object.fromEntries(Object.entries(patch).map(([key, value]) => [key, value ?? null]))
  return [...events, { commit }].map((line) => `${JSON.stringify(line)}\n`)
}

const commitPatch = (commit: Commit): RunPatch =>
  Object.fromEntries(
    Object.entries(commit.patch ?? {}).map(([key, value]) => [key, value ?? undefined]),
  ) as RunPatch

/** Parses a line; undefined for an invalid one, which a crash or a damaged disk can leave. */
function parseLine(text: string): LogLine | undefined {
  try {
    const line: unknown = JSON.parse(text)
    if (typeof line !== 'object' || line === null) return undefined
    return 'spec' in line || 'seq' in line || 'commit' in line ? (line as LogLine) : undefined
  } catch {
    return undefined
  }
}

/** Yields whole lines between two offsets, each with its own offset and that of the next line. */
function* readLines(
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
