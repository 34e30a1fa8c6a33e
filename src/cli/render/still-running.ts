import type { RunEvent, StepPhase } from '../../contract/events.ts'
import { durationText } from './units.ts'

/** How long an attempt is quiet until it is told that it runs; then after each `EACH_MS` more. */
const FIRST_MS: readonly number[] = [30_000, 60_000, 120_000]
const EACH_MS = 300_000

interface Running {
  attempt: number
  step: string
  phase: StepPhase
  startedMs: number
  /** When it was last heard of. */
  heardMs: number
  /** It is told once it has been quiet for so long. */
  nextMs: number
}

/** A step of which attempts run. */
export interface RunningStep {
  step: string
  phase: StepPhase
  attempts: readonly number[]
  /** How long the first of them has run. */
  longestMs: number
}

/**
 * Which attempts of a run are at it, and which of them are quiet. `nowMs` is of any clock that goes steadily: times are those
 * of the events, which another machine may have written, and some of them long ago.
 */
export class StillRunning {
  readonly #running = new Map<number, Running>()
  readonly #places = new Map<number, Pick<Running, 'step' | 'phase'>>()
  /** How far this clock is ahead of the one of the events, at most. */
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

  /** The steps of which attempts run. */
  steps(nowMs: number): RunningStep[] {
    return this.#grouped([...this.#running.values()], nowMs)
  }

  /** Those of which attempts have been quiet so long that it is to be told now; each is told once for each time. */
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

/** How long it has run: `12 s`, `5 m 00 s`. */
export const runningFor = (ms: number): string =>
  ms < 60_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : durationText(ms)
