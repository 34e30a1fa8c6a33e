import type { RunEvent } from '../../contract/events.ts'
import type { Histogram } from '../../platform/metrics.ts'

/** How long attempts wait for a runner, as their events tell; also over a restart of the hub. */
export class PlacementDelays {
  readonly #seconds: Histogram
  /** When those that wait were created, by run and attempt. */
  readonly #waiting = new Map<string, Map<number, number>>()

  constructor(seconds: Histogram) {
    this.#seconds = seconds
  }

  seen(runId: string, event: RunEvent): void {
    if (event.type === 'attempt.created') {
      if (event.epoch > 0) this.#seconds.observe(0)
      else this.#wait(runId, event.attempt, Date.parse(event.time))
    } else if (event.type === 'attempt.assigned') {
      const sinceMs = this.#waiting.get(runId)?.get(event.attempt)
      if (sinceMs !== undefined) this.#seconds.observe(Math.max(0, Date.parse(event.time) - sinceMs) / 1000)
      this.#drop(runId, event.attempt)
    } else if (event.type === 'attempt.finished') this.#drop(runId, event.attempt)
    else if (event.type === 'run.finished') this.#waiting.delete(runId)
  }

  /** Takes in what a run taken up again has told before, in order: of what still waits, the time since when. */
  recall(runId: string, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.type === 'attempt.created' && event.epoch === 0)
        this.#wait(runId, event.attempt, Date.parse(event.time))
      else if (event.type === 'attempt.assigned' || event.type === 'attempt.finished')
        this.#drop(runId, event.attempt)
      else if (event.type === 'run.finished') this.#waiting.delete(runId)
    }
  }

  #wait(runId: string, attempt: number, sinceMs: number): void {
    const attempts = this.#waiting.get(runId) ?? new Map<number, number>()
    this.#waiting.set(runId, attempts.set(attempt, sinceMs))
  }

  #drop(runId: string, attempt: number): void {
    const attempts = this.#waiting.get(runId)
    if (attempts?.delete(attempt) && attempts.size === 0) this.#waiting.delete(runId)
  }
}
