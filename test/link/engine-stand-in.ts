import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd, AttemptReport, AttemptSpec, StreamName } from '../../src/contract/attempt.ts'
import { ErrandError } from '../../src/contract/errors.ts'
import type { AttemptSink, Placement, StepHost } from '../../src/engine/ports.ts'

/** The recorded data of one attempt. */
export class Kept {
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
  readonly kept = new Map<string, Kept>()
  readonly faults: Faults
  /** The host's violations of its rules. */
  readonly complaints: string[] = []
  #generation = 0

  constructor(faults: Partial<Faults> = {}) {
    this.faults = { failing: 0, commitMs: 0, random: Math.random, ...faults }
  }

  start(host: StepHost, spec: AttemptSpec): Kept {
    const kept = new Kept(spec)
    this.kept.set(spec.attempt_id, kept)
    const place = host.place(spec)
    if ('waiting' in place) kept.whys.push(place.waiting)
    else this.#placed(kept, place)
    host.start(spec, kept.placement, this.#sink(kept))
    return kept
  }

  /** Forgets the host, as after a kill: its pending calls never return. */
  forget(): void {
    this.#generation++
  }

  resume(host: StepHost): void {
    for (const kept of this.kept.values()) {
      if (kept.end) continue
      const streams = { stdout: kept.length('stdout'), stderr: kept.length('stderr') }
      const known = { started: kept.reports.length > 0, reports: kept.reports.length, streams }
      if (kept.waits) {
        const again = { started: false, streams, epoch: kept.placement?.epoch }
        host.resume(kept.spec, undefined, again, this.#sink(kept))
      } else host.resume(kept.spec, kept.placement, known, this.#sink(kept))
    }
  }

  #placed(kept: Kept, placement: Placement): void {
    if (placement.epoch !== (kept.placement?.epoch ?? 0) + 1)
      this.complaints.push(`epoch ${placement.epoch} after ${kept.placement?.epoch ?? 0}`)
    kept.placement = placement
    kept.waits = false
    kept.placements.push(placement)
  }

  #sink(kept: Kept): AttemptSink {
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
        kept.whys.push(why)
        if (current() && kept.placement) kept.waits = true
      },
      assigned: async (placement) => {
        await commit()
        if (kept.end) return false
        this.#placed(kept, placement)
        return true
      },
      // A report that arrives during a commit shares its fate, as in a store that groups its commits.
      report: (report, epoch) => {
        if (kept.end || epoch < (kept.placement?.epoch ?? 0)) return Promise.resolve()
        if (batch) {
          batch.reports.push(report)
          return batch.done
        }
        const reports = [report]
        const done = commit()
          .then(() => void kept.reports.push(...reports))
          .finally(() => {
            if (current()) batch = undefined
          })
        batch = { reports, done }
        return done
      },
      output: async (stream, offset, bytes) => {
        await commit()
        const length = kept.length(stream)
        if (offset > length) throw new ErrandError('conflict', `a gap at ${length}: ${offset}`)
        if (kept.end) this.complaints.push(`output of ${kept.spec.attempt_id} after its end`)
        kept.chunks[stream].push(Buffer.from(bytes.subarray(length - offset)))
        return kept.length(stream)
      },
      length: async (stream) => kept.length(stream),
    }
  }
}
