import type { HeldAttempt } from '../ports.ts'
import { type Lengths, Outgoing } from './outgoing.ts'
import type { OutputPump } from './output-pump.ts'

/** The attempts whose reports and output go over one link. */
export class TrackedAttempts {
  readonly #pump: OutputPump
  readonly #tracked = new Map<string, { outgoing: Outgoing; unwatch: () => void }>()
  #closed = false

  constructor(pump: OutputPump) {
    this.#pump = pump
  }

  /** From what the hub has. Nothing happens where it is tracked already. */
  track(held: HeldAttempt, reports: number, streams: Lengths): void {
    const id = held.spec.attempt_id
    const there = this.#tracked.get(id)
    if (this.#closed || there?.outgoing.held === held) return
    if (there) this.#untrack(id)
    const outgoing = new Outgoing(held, reports, streams)
    this.#tracked.set(id, { outgoing, unwatch: held.onChange(() => this.#pump.wake(outgoing)) })
    this.#pump.wake(outgoing)
  }

  acked(id: string, epoch: number, reports: number, streams: Lengths, resend: boolean): void {
    const outgoing = this.#find(id, epoch)
    if (!outgoing) return
    outgoing.ack(reports, streams, resend)
    this.#pump.wake(outgoing)
  }

  /** The hub wants to hear no more of it. */
  drop(id: string, epoch: number): void {
    if (this.#find(id, epoch)) this.#untrack(id)
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    this.#pump.close()
    for (const id of [...this.#tracked.keys()]) this.#untrack(id)
  }

  #find(id: string, epoch: number): Outgoing | undefined {
    const outgoing = this.#tracked.get(id)?.outgoing
    return outgoing?.held.epoch === epoch ? outgoing : undefined
  }

  #untrack(id: string): void {
    const tracked = this.#tracked.get(id)
    if (!tracked) return
    this.#tracked.delete(id)
    tracked.outgoing.closed = true
    tracked.unwatch()
  }
}
