import { ftruncateSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StreamName } from '../../contract/attempt.ts'
import { firstOf, within } from '../../platform/races.ts'
import type { FileOutput } from '../attempts/file-output.ts'
import type { DockerEngine, LogPiece } from '../docker/docker-engine.ts'
import {
  LogAllowance,
  type LogCursor,
  newCursor,
  newestOf,
  readCursor,
  sinceOf,
  writeCursor,
} from './log-cursor.ts'
import { isAway } from './retry-while-docker-away.ts'

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']
/** Limits for joining pieces into one write: time in ms, and bytes. */
const FLUSH_MS = 20
const FLUSH_BYTES = 256 * 1024
/** Milliseconds after which the cursor is written even if all of the log is left out. */
const CURSOR_MS = 1_000
const NEWLINE = 10

export interface BotLogOptions {
  /** Output files of the attempt, as `restoreLog` has left them. */
  fds: Readonly<Record<StreamName, number>>
  cursorFile: string
  /** Limit in bytes per day. */
  perDayBytes: number
  onWritten(): void
  onFailed(error: Error): void
}

/**
 * Writes a container's log into the attempt's files, and the cursor beside them. Both are written together, before
 * anyone reads the files: what has left this machine is never read from the engine again, and so never differs.
 */
export class BotLog {
  readonly #options: BotLogOptions
  readonly #cursor: LogCursor
  /** Bytes of the files that the written cursor covers. */
  #stored: Readonly<Record<StreamName, number>>
  readonly #allowance: LogAllowance
  readonly #waiting: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] }
  #waitingBytes = 0
  /** Start of the reading: earlier pieces were taken before. */
  #from: LogCursor
  #newest = ''
  #isFirst = false
  #writtenAtMs = 0
  #timer: NodeJS.Timeout | undefined
  #broken = false

  constructor(options: BotLogOptions) {
    this.#options = options
    this.#cursor = readCursor(options.cursorFile) ?? newCursor()
    this.#allowance = new LogAllowance(options.perDayBytes, this.#cursor.allowance)
    this.#from = structuredClone(this.#cursor)
    this.#stored = lengthsOf(this.#cursor)
  }

  /** Opens the log, perhaps again; returns the time from which to read it. */
  open(): string | undefined {
    this.#from = structuredClone(this.#cursor)
    this.#newest = newestOf(this.#from)
    this.#isFirst = true
    // The first piece is written without delay.
    this.#writtenAtMs = 0
    return sinceOf(this.#from)
  }

  take(piece: LogPiece): void {
    const { stream, time, bytes } = piece
    // The newest piece taken comes again, unless the engine has dropped it meanwhile, along with later ones.
    if (this.#isFirst && this.#newest !== '' && time > this.#newest)
      this.#say(stream, 'a part of the log is missing here: the engine dropped it before it could be read')
    this.#isFirst = false
    if (this.#wasTaken(piece)) return
    const cursor = this.#cursor[stream]
    cursor.taken = time === cursor.time ? cursor.taken + 1 : 1
    cursor.time = time
    cursor.openLine = bytes.at(-1) !== NEWLINE
    if (this.#allowance.admits(bytes.length, Date.parse(time))) {
      this.#reportLeftOut(stream)
      this.#add(stream, bytes)
    } else {
      if (cursor.leftOut === 0)
        this.#say(
          stream,
          `limit of ${number(this.#options.perDayBytes)} bytes of log per day reached, further output is left out`,
        )
      cursor.leftOut += bytes.length
    }
    this.#schedule()
  }

  /** Ends the log. Idempotent. */
  end(): void {
    for (const stream of STREAMS) this.#reportLeftOut(stream)
    this.flush()
  }

  /** Writes the waiting pieces. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#broken) return
    this.#writtenAtMs = Date.now()
    try {
      for (const stream of STREAMS) this.#write(stream)
      this.#cursor.allowance = this.#allowance.state
      writeCursor(this.#options.cursorFile, this.#cursor)
      this.#stored = lengthsOf(this.#cursor)
    } catch (error) {
      this.#giveUp(error as Error)
      return
    }
    this.#waitingBytes = 0
    this.#options.onWritten()
  }

  /** Closes the log; nothing more is written. */
  close(): void {
    this.#broken = true
    clearTimeout(this.#timer)
  }

  #wasTaken({ stream, time }: LogPiece): boolean {
    const from = this.#from[stream]
    if (time !== from.time) return time < from.time
    from.taken--
    return from.taken >= 0
  }

  #reportLeftOut(stream: StreamName): void {
    const { leftOut } = this.#cursor[stream]
    if (leftOut === 0) return
    this.#cursor[stream].leftOut = 0
    this.#say(stream, `${number(leftOut)} bytes of log left out`)
  }

  #say(stream: StreamName, text: string): void {
    this.#add(stream, Buffer.from(`${this.#cursor[stream].openEnd ? '\n' : ''}[errand: ${text}]\n`))
  }

  #add(stream: StreamName, bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#cursor[stream].length += bytes.length
    this.#cursor[stream].openEnd = bytes.at(-1) !== NEWLINE
    this.#waiting[stream].push(bytes)
    this.#waitingBytes += bytes.length
  }

  #schedule(): void {
    const sinceMs = Date.now() - this.#writtenAtMs
    if (this.#waitingBytes >= FLUSH_BYTES || sinceMs > CURSOR_MS) this.flush()
    else if (this.#waitingBytes > 0)
      this.#timer ??= setTimeout(() => this.flush(), Math.max(0, FLUSH_MS - sinceMs))
  }

  #write(stream: StreamName): void {
    const bytes = Buffer.concat(this.#waiting[stream])
    this.#waiting[stream] = []
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#options.fds[stream], bytes, at)
  }

  /** Cuts off an incomplete write, so that nobody sees what the cursor does not cover. */
  #giveUp(error: Error): void {
    this.close()
    try {
      for (const stream of STREAMS) ftruncateSync(this.#options.fds[stream], this.#stored[stream])
    } catch {
      // The disk accepts nothing at all any more: the bot ends anyway.
    }
    this.#options.onFailed(error)
  }
}

const lengthsOf = ({ stdout, stderr }: LogCursor) => ({ stdout: stdout.length, stderr: stderr.length })

const number = (value: number): string => value.toLocaleString('en-US')

const MOST_BYTES = 2 * 1024
const MOST_LINES = 20

/** Returns the last lines for its end's message: of its standard error, or of its output if that is empty. */
export async function lastLines(output: FileOutput): Promise<string | undefined> {
  for (const stream of ['stderr', 'stdout'] as const) {
    const length = output.length(stream)
    const from = Math.max(0, length - MOST_BYTES)
    const lines = (await output.read(stream, from, MOST_BYTES)).toString('utf8').trimEnd().split('\n')
    // The first one is incomplete.
    if (from > 0 && lines.length > 1) lines.shift()
    const text = lines.slice(-MOST_LINES).join('\n')
    if (text.trim() !== '') return `Its last lines:\n${text}`
  }
  return undefined
}

/** Milliseconds that the log of an ended container may take to end. */
const LOG_END_MS = 5_000
/** Milliseconds that an engine may take to remove a container. */
const REMOVAL_MS = 10_000
/** Milliseconds between checks of a container whose log cannot be followed at the moment. */
const AGAIN_MS = 200

interface ContainerLogOptions {
  engine: DockerEngine
  /** Id of the container. */
  id: string
  /** Receives the log. */
  log: BotLog
  /** Repeats a call while the engine is away. */
  patiently<T>(ask: () => Promise<T>): Promise<T>
  /** Aborted when this process leaves the attempt. */
  leave: AbortSignal
}

/** Reads a container's log from its engine. */
export class ContainerLog {
  readonly #options: ContainerLogOptions

  constructor(options: ContainerLogOptions) {
    this.#options = options
  }

  /** Follows the log until the container has ended, or the engine is away. */
  async follow(): Promise<void> {
    const { engine, id, leave } = this.#options
    const over = new AbortController()
    const signal = AbortSignal.any([leave, over.signal])
    const read = this.#read(true, signal)
    const ended = engine.wait(id, signal)
    try {
      await firstOf(read, ended)
      // An engine may never end a log that was rotated.
      await within(LOG_END_MS, read, () => undefined)
    } catch (error) {
      if (!isAway(error) && !(await this.#isGone())) throw error
      await sleep(AGAIN_MS, undefined, { signal: leave })
    } finally {
      over.abort()
      await Promise.allSettled([read, ended])
    }
  }

  /** Reads the rest of the log of an ended container. */
  async readRest(): Promise<void> {
    const { leave, patiently } = this.#options
    try {
      await patiently(() => this.#read(false, leave))
    } catch (error) {
      if (!(await this.#isGone())) throw error
    }
    leave.throwIfAborted()
  }

  /**
   * Reports whether the container is gone. Somebody else may be removing it, which takes an engine a moment; an
   * unreadable log means nothing then.
   */
  async #isGone(): Promise<boolean> {
    const { engine, id, leave, patiently } = this.#options
    for (const until = performance.now() + REMOVAL_MS; performance.now() < until; ) {
      const state = await patiently(() => engine.state(id))
      if (state.type === 'gone') return true
      await sleep(AGAIN_MS, undefined, { signal: leave })
    }
    return false
  }

  async #read(follow: boolean, signal: AbortSignal): Promise<void> {
    const { engine, id, log } = this.#options
    log.flush()
    try {
      for await (const piece of engine.logs(id, { since: log.open(), follow, signal })) log.take(piece)
    } finally {
      log.flush()
    }
  }
}
