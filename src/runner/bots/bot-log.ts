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
/** Pieces are written together: after so long, or so many bytes. */
const FLUSH_MS = 20
const FLUSH_BYTES = 256 * 1024
/** Where all is left out, the cursor is still moved on now and then. */
const CURSOR_MS = 1_000
const NEWLINE = 10

export interface BotLogOptions {
  /** The attempt's output files, as `restoreLog` has left them. */
  fds: Readonly<Record<StreamName, number>>
  cursorFile: string
  /** Most bytes a day. */
  perDayBytes: number
  onWritten(): void
  onFailed(error: Error): void
}

/**
 * Writes a container's log into the attempt's files, and beside them how far it is. Both are written in one go, before
 * anyone reads the files: what has left this machine is never read from the engine again, and so never differs.
 */
export class BotLog {
  readonly #options: BotLogOptions
  readonly #cursor: LogCursor
  /** Bytes of the files that the written cursor covers. */
  #kept: Readonly<Record<StreamName, number>>
  readonly #allowance: LogAllowance
  readonly #waiting: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] }
  #waitingBytes = 0
  /** Where the log was opened: pieces up to there were taken before. */
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
    this.#kept = lengthsOf(this.#cursor)
  }

  /** The log is opened, again: answers from when on it is to be read. */
  open(): string | undefined {
    this.#from = structuredClone(this.#cursor)
    this.#newest = newestOf(this.#from)
    this.#isFirst = true
    // Nobody waits for the first piece longer than for the container.
    this.#writtenAtMs = 0
    return sinceOf(this.#from)
  }

  take(piece: LogPiece): void {
    const { stream, time, bytes } = piece
    // The newest piece that was taken comes again, unless the engine has dropped it meanwhile, with what followed it.
    if (this.#isFirst && this.#newest !== '' && time > this.#newest)
      this.#say(stream, 'a part of the log is missing here, dropped by the engine before it could be read')
    this.#isFirst = false
    if (this.#wasTaken(piece)) return
    const cursor = this.#cursor[stream]
    cursor.taken = time === cursor.time ? cursor.taken + 1 : 1
    cursor.time = time
    cursor.openLine = bytes.at(-1) !== NEWLINE
    if (this.#allowance.admits(bytes.length, Date.parse(time))) {
      this.#tellLeftOut(stream)
      this.#add(stream, bytes)
    } else {
      if (cursor.leftOut === 0)
        this.#say(
          stream,
          `limit of ${number(this.#options.perDayBytes)} bytes of log a day reached, what follows is left out`,
        )
      cursor.leftOut += bytes.length
    }
    this.#schedule()
  }

  /** Nothing follows. Twice is once. */
  end(): void {
    for (const stream of STREAMS) this.#tellLeftOut(stream)
    this.flush()
  }

  /** Writes what waits. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#broken) return
    this.#writtenAtMs = Date.now()
    try {
      for (const stream of STREAMS) this.#write(stream)
      this.#cursor.allowance = this.#allowance.state
      writeCursor(this.#options.cursorFile, this.#cursor)
      this.#kept = lengthsOf(this.#cursor)
    } catch (error) {
      this.#giveUp(error as Error)
      return
    }
    this.#waitingBytes = 0
    this.#options.onWritten()
  }

  /** Nothing more is written. */
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

  #tellLeftOut(stream: StreamName): void {
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

  /** Cuts off again what was not written whole, so that nobody sees what the cursor does not cover. */
  #giveUp(error: Error): void {
    this.close()
    try {
      for (const stream of STREAMS) ftruncateSync(this.#options.fds[stream], this.#kept[stream])
    } catch {
      // The disk takes nothing at all any more: it ends all the same.
    }
    this.#options.onFailed(error)
  }
}

const lengthsOf = ({ stdout, stderr }: LogCursor) => ({ stdout: stdout.length, stderr: stderr.length })

const number = (value: number): string => value.toLocaleString('en-US')

const MOST_BYTES = 2 * 1024
const MOST_LINES = 20

/** The last of what it has said, for its end's message: of its standard error, or where it said nothing there, of its output. */
export async function lastLines(output: FileOutput): Promise<string | undefined> {
  for (const stream of ['stderr', 'stdout'] as const) {
    const length = output.length(stream)
    const from = Math.max(0, length - MOST_BYTES)
    const lines = (await output.read(stream, from, MOST_BYTES)).toString('utf8').trimEnd().split('\n')
    // The first one is only its end.
    if (from > 0 && lines.length > 1) lines.shift()
    const text = lines.slice(-MOST_LINES).join('\n')
    if (text.trim() !== '') return `Its last lines:\n${text}`
  }
  return undefined
}

/** Once a container has ended, how long its log may take to say so too. */
const LOG_END_MS = 5_000
/** How long an engine may take to remove a container. */
const REMOVAL_MS = 10_000
/** Between two looks at a container whose log cannot be followed just now. */
const AGAIN_MS = 200

interface ContainerLogOptions {
  engine: DockerEngine
  /** Of the container. */
  id: string
  /** Where it is written. */
  log: BotLog
  /** Asks again while the engine is away. */
  patiently<T>(ask: () => Promise<T>): Promise<T>
  /** Aborted where this process lets go of it. */
  leave: AbortSignal
}

/** Reads a container's log at its engine. */
export class ContainerLog {
  readonly #options: ContainerLogOptions

  constructor(options: ContainerLogOptions) {
    this.#options = options
  }

  /** Until the container has ended, or the engine is away. */
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

  /** Reads what there is, of a container that has ended. */
  async readRest(): Promise<void> {
    const { leave, patiently } = this.#options
    try {
      await patiently(() => this.#read(false, leave))
    } catch (error) {
      if (!(await this.#isGone())) throw error
    }
    leave.throwIfAborted()
  }

  /** Someone else removes it, which takes an engine a moment: that its log cannot be read tells nothing then. */
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
