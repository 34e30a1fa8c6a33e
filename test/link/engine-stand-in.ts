import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../src/contract/attempt.ts'
import { ErrandError } from '../../src/contract/errors.ts'
import type { AttemptSink, Placement, StepHost } from '../../src/engine/ports.ts'

/** The recorded data of one attempt. */
export class PlacedAttempt {
  readonly spec: AttemptSpec
  placement: Placement | undefined
  /** Whether it waits again since it was placed, so that no machine has it. */
  waits = false
  readonly placements: Placement[] = []
  readonly reports: AttemptReport[] = []
  readonly chunks: Record<StreamName, Buffer[]> = { stdout: [], stderr: [] }
  readonly whys: string[] = []

  constructor(spec: AttemptSpec) {
    this.spec = spec
  }

  get end(): AttemptEnd | undefined {
    const last = this.reports.at(-1)
    return last?.type === 'ended' ? last : undefined
  }

  length(stream: StreamName): number {
    return this.chunks[stream].reduce((sum, chunk) => sum + chunk.length, 0)
  }

  sha256(stream: StreamName): string {
    return createHash('sha256').update(Buffer.concat(this.chunks[stream])).digest('hex')
  }
}

export interface Faults {
  /** The share of commits that fail, from 0 to 1. */
  failing: number
  /** The longest duration of a commit, in milliseconds. */
  commitMs: number
  random: () => number
}

/**
 * Stands in for the engine: records what the host reports, can forget a host, and can resume its attempts with
 * another.
 */
export class EngineStandIn {
  readonly placed = new Map<string, PlacedAttempt>()
  readonly faults: Faults
  /** The host's violations of its rules. */
  readonly complaints: string[] = []
  #generation = 0

  constructor(faults: Partial<Faults> = {}) {
    this.faults = { failing: 0, commitMs: 0, random: Math.random, ...faults }
  }

  start(host: StepHost, spec: AttemptSpec): PlacedAttempt {
    const attempt = new PlacedAttempt(spec)
    this.placed.set(spec.attempt_id, attempt)
    const place = host.place(spec)
    if ('waiting' in place) attempt.whys.push(place.waiting)
    else this.#placed(attempt, place)
    host.start(spec, attempt.placement, this.#sink(attempt))
    return attempt
  }

  /** Forgets the host, as after a kill: its pending calls never return. */
  forget(): void {
    this.#generation++
  }

  resume(host: StepHost): void {
    for (const attempt of this.placed.values()) {
      if (attempt.end) continue
      const streams = { stdout: attempt.length('stdout'), stderr: attempt.length('stderr') }
      const known = { started: attempt.reports.length > 0, reports: attempt.reports.length, streams }
      if (attempt.waits) {
        const again = { started: false, streams, epoch: attempt.placement?.epoch }
        host.resume(attempt.spec, undefined, again, this.#sink(attempt))
      } else host.resume(attempt.spec, attempt.placement, known, this.#sink(attempt))
    }
  }

  #placed(attempt: PlacedAttempt, placement: Placement): void {
    if (placement.epoch !== (attempt.placement?.epoch ?? 0) + 1)
      this.complaints.push(`epoch ${placement.epoch} after ${attempt.placement?.epoch ?? 0}`)
    attempt.placement = placement
    attempt.waits = false
    attempt.placements.push(placement)
  }

  #sink(attempt: PlacedAttempt): AttemptSink {
    const generation = this.#generation
    let batch: { reports: AttemptReport[]; done: Promise<void> } | undefined
    const commit = async () => {
      const { failing, commitMs, random } = this.faults
      // Sleeps: a store that commits slowly.
      if (commitMs > 0) await sleep(random() * commitMs)
      else await new Promise((resolve) => setImmediate(resolve))
      if (generation !== this.#generation) await new Promise(() => {})
      if (random() < failing) throw new ErrandError('store_failed', 'The store failed, as the test wants.')
    }
    const current = () => generation === this.#generation
    return {
      waiting: (why) => {
        attempt.whys.push(why)
        if (current() && attempt.placement) attempt.waits = true
      },
      assigned: async (placement) => {
        await commit()
        if (attempt.end) return false
        this.#placed(attempt, placement)
        return true
      },
      // A report that arrives during a commit shares its fate, as in a store that groups its commits.
      report: (report, epoch) => {
        if (attempt.end || epoch < (attempt.placement?.epoch ?? 0)) return Promise.resolve()
        if (batch) {
          batch.reports.push(report)
          return batch.done
        }
        const reports = [report]
        const done = commit()
          .then(() => void attempt.reports.push(...reports))
          .finally(() => {
            if (current()) batch = undefined
          })
        batch = { reports, done }
        return done
      },
      output: async (stream, offset, bytes) => {
        await commit()
        const length = attempt.length(stream)
        if (offset > length) throw new ErrandError('conflict', `a gap at ${length}: ${offset}`)
        if (attempt.end) this.complaints.push(`output of ${attempt.spec.attempt_id} after its end`)
        attempt.chunks[stream].push(Buffer.from(bytes.subarray(length - offset)))
        return attempt.length(stream)
      },
      length: async (stream) => attempt.length(stream),
    }
  }
}
