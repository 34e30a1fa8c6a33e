import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { ErrandError } from '../../../contract/errors.ts'
import type { RunEvent } from '../../../contract/events.ts'
import type { RunRecord } from '../../../contract/run.ts'
import { diskError } from '../disk-errors.ts'
import { checkOrder } from '../run-errors.ts'
import { applyPatch, type Change, newRecord } from '../run-record.ts'
import { commitLines, commitPatch, parseLine, readLines } from './log-lines.ts'

/** One run's `events.jsonl`, and the record that follows from it. */
export class RunLog {
  readonly #file: string
  #record: RunRecord | undefined
  /** Bytes up to the end of the last commit; what follows is torn. */
  #bytes = 0
  /** Where event n starts, at n - 1. */
  readonly #starts: number[] = []

  constructor(file: string) {
    this.#file = file
  }

  /** Bytes of what is committed. */
  get bytes(): number {
    return this.#bytes
  }

  /** As of the last `refresh` or `append`. Undefined: the log holds no commit. */
  get record(): RunRecord | undefined {
    return this.#record
  }

  /** Reads what was committed since the last time, also by another process. */
  refresh(): void {
    this.#opened('r', (descriptor) => this.#scan(descriptor, fstatSync(descriptor).size))
  }

  /** Events with seq > after; of what was there at the last `refresh`. */
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

  /** Writes one commit, on disk when this returns. The record must be there. Throws `conflict`, `disk_full`. */
  append(change: Change): void {
    const record = this.#record!
    checkOrder(record.run_id, record.last_seq, change.events)
    const lines = commitLines(record.last_seq, change).map((line) => Buffer.from(line))
    this.#opened('r+', (descriptor) => {
      // What a crash has left after the last commit.
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
      hint: 'Put a backup of it in its place, or move the folder of that run away.',
    })
  }
}
