import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf, RunEvent, StepPhase } from '../../contract/events.ts'
import { bytesText, durationText } from './table.ts'
import { lineText, terminalText } from './terminal-text.ts'

/** Characters after which a line without a line feed is shown in pieces. */
const MAX_LINE = 16 * 1024

/** Most lines, and characters of each, that are kept of the end of a stream. */
const [LAST_LINES, LAST_CHARACTERS] = [5, 300]

interface Shown {
  shownBytes: number
  hiddenBytes: number
  partial: string
  last: string[]
}

/** Returns the text before each line of a stream. */
type Prefix = (stream: StreamName) => string

/** Cuts the output of one attempt into lines with a prefix, and shows at most `maxBytes` of a stream. */
export class LiveLines {
  readonly #streams = new Map<StreamName, Shown>()
  readonly #maxBytes: number
  readonly #color: boolean

  constructor(maxBytes: number, color: boolean) {
    this.#maxBytes = maxBytes
    this.#color = color
  }

  /** Returns the lines to write for an output event, each with its line feed. */
  add(event: EventOf<'output'>, prefix: Prefix): string {
    const stream = this.#stream(event.stream)
    const room = this.#maxBytes - stream.shownBytes
    const shown = Math.max(0, Math.min(room, event.length))
    stream.hiddenBytes += event.length - shown
    if (shown === 0) return ''
    stream.shownBytes += shown
    let text = event.text ?? ''
    // The cut drops a partial character: the limit need not be exact, it must only not be exceeded.
    if (shown < event.length)
      text = Buffer.from(text)
        .subarray(0, shown)
        .toString()
        .replace(/\ufffd$/, '')
    const lines = (stream.partial + text).split('\n')
    stream.partial = lines.pop()!
    while (stream.partial.length > MAX_LINE) {
      lines.push(stream.partial.slice(0, MAX_LINE))
      stream.partial = stream.partial.slice(MAX_LINE)
    }
    return this.#lines(event.stream, lines, prefix)
  }

  /** Returns the rest when the attempt has ended: a last line without line feed, and a note on what was not shown. */
  end(prefix: Prefix, whole: (stream: StreamName) => string): string {
    let text = ''
    for (const [name, { partial, hiddenBytes }] of this.#streams) {
      if (partial !== '') text += this.#lines(name, [partial], prefix)
      if (hiddenBytes > 0)
        text += `${prefix(name)}... ${bytesText(hiddenBytes)} more on ${name}; full output: ${whole(name)}\n`
    }
    return text
  }

  /** Returns the last lines of standard error, or of standard output if that is empty. */
  last(): readonly string[] {
    const all = [this.#streams.get('stderr'), this.#streams.get('stdout')]
    return all.find((stream) => stream !== undefined && stream.last.length > 0)?.last ?? []
  }

  #lines(name: StreamName, lines: readonly string[], prefix: Prefix): string {
    const safe = lines.map((line) =>
      terminalText(line.endsWith('\r') ? line.slice(0, -1) : line, this.#color),
    )
    const stream = this.#stream(name)
    const shown = safe.slice(-LAST_LINES).filter((line) => line !== '')
    stream.last = [...stream.last, ...shown.map((line) => lineText(line.slice(0, LAST_CHARACTERS)))].slice(
      -LAST_LINES,
    )
    const before = prefix(name)
    return safe.map((line) => `${before}${line}\n`).join('')
  }

  #stream(name: StreamName): Shown {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      stream = { shownBytes: 0, hiddenBytes: 0, partial: '', last: [] }
      this.#streams.set(name, stream)
    }
    return stream
  }
}

/** Quiet times after which an attempt is reported as running; later ones follow each `EACH_MS`. */
const FIRST_MS: readonly number[] = [30_000, 60_000, 120_000]
const EACH_MS = 300_000

interface Running {
  attempt: number
  step: string
  phase: StepPhase
  startedMs: number
  /** Time of its last event. */
  heardMs: number
  /** Quiet time after which the attempt is reported as running. */
  nextMs: number
}

/** Describes a step with running attempts. */
export interface RunningStep {
  step: string
  phase: StepPhase
  attempts: readonly number[]
  /** Milliseconds that the oldest of them has run. */
  longestMs: number
}

/**
 * Tracks which attempts of a run are running, and which of them are quiet. `nowMs` is the time of any steady clock:
 * other times are those of the events, which another machine may have written, perhaps long ago.
 */
export class StillRunning {
  readonly #running = new Map<number, Running>()
  readonly #places = new Map<number, Pick<Running, 'step' | 'phase'>>()
  /** Most that this clock is ahead of the clock of the events. */
  #aheadMs = Number.POSITIVE_INFINITY

  add(event: RunEvent, nowMs: number): void {
    const atMs = Date.parse(event.time)
    this.#aheadMs = Math.min(this.#aheadMs, nowMs - atMs)
    if (!('attempt' in event)) return
    const { attempt } = event
    switch (event.type) {
      case 'attempt.created':
        this.#places.set(attempt, { step: event.step, phase: event.phase })
        if (event.waiting === undefined) this.#begin(attempt, atMs)
        break
      case 'attempt.assigned':
        this.#begin(attempt, atMs)
        break
      case 'attempt.waiting':
        this.#running.delete(attempt)
        break
      case 'attempt.finished':
        this.#running.delete(attempt)
        this.#places.delete(attempt)
        break
      default: {
        const running = this.#running.get(attempt)
        if (running === undefined) break
        running.heardMs = atMs
        running.nextMs = Math.min(running.nextMs, EACH_MS)
      }
    }
  }

  /** Returns the steps with running attempts. */
  steps(nowMs: number): RunningStep[] {
    return this.#grouped([...this.#running.values()], nowMs)
  }

  /** Returns the steps whose attempts have been quiet long enough to be reported now, once for each of the times. */
  due(nowMs: number): RunningStep[] {
    const due: Running[] = []
    for (const running of this.#running.values()) {
      const quietMs = nowMs - this.#aheadMs - running.heardMs
      if (quietMs < running.nextMs) continue
      running.nextMs = FIRST_MS.find((ms) => ms > quietMs) ?? (Math.floor(quietMs / EACH_MS) + 1) * EACH_MS
      due.push(running)
    }
    return this.#grouped(due, nowMs)
  }

  #begin(attempt: number, atMs: number): void {
    const place = this.#places.get(attempt)
    if (place === undefined || this.#running.has(attempt)) return
    this.#running.set(attempt, { attempt, ...place, startedMs: atMs, heardMs: atMs, nextMs: FIRST_MS[0]! })
  }

  #grouped(all: readonly Running[], nowMs: number): RunningStep[] {
    const steps = Map.groupBy(all, ({ step, phase }) => `${phase} ${step}`)
    return [...steps.values()].map((each) => ({
      step: each[0]!.step,
      phase: each[0]!.phase,
      attempts: each.map(({ attempt }) => attempt),
      longestMs: nowMs - this.#aheadMs - Math.min(...each.map(({ startedMs }) => startedMs)),
    }))
  }
}

/** Formats how long something has run: `12 s`, `5 m 00 s`. */
export const runningFor = (ms: number): string =>
  ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : durationText(ms)
