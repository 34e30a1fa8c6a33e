import type { RunEvent } from '../contract/events.ts'
import type { RunPatch, RunSpec } from '../contract/run.ts'
import { patchBetween, patchOf } from './patch.ts'
import type { RunStore } from './ports.ts'
import type { RunState } from './state.ts'

/** Keeps the events of one run, and in the same write what its record says once they are there. */
export class RunWriter {
  readonly #store: RunStore
  readonly #spec: RunSpec
  readonly #state: RunState
  #created: boolean
  #notifyError: string | undefined
  /** The store's record as it is, and as it will be once the events being written are there. */
  #patched: RunPatch
  #next: { events: readonly RunEvent[]; patch: RunPatch } | undefined

  /** `state` is that of the run as it is conducted; at this moment, all of it is kept. */
  constructor(store: RunStore, spec: RunSpec, state: RunState) {
    this.#store = store
    this.#spec = spec
    this.#state = state
    this.#created = state.seq > 0
    this.#patched = patchOf(state)
  }

  /** Whether the store has the run. */
  get created(): boolean {
    return this.#created
  }

  /** From the next write on, the record has this text of a notifier's failure. */
  notifyFailed(error: string): void {
    this.#notifyError = error
  }

  /** One call at a time; the same events again where a write has failed. */
  async write(events: RunEvent[]): Promise<void> {
    // Taken once: by the time that a failed write is tried again, the state is further on than these events.
    if (this.#next?.events !== events)
      this.#next = { events, patch: { ...patchOf(this.#state), last_notify_error: this.#notifyError } }
    const patch = patchBetween(this.#patched, this.#next.patch)
    if (!this.#created) await this.#store.create(this.#spec, events, patch)
    else if (events.length > 0 || Object.keys(patch).length > 0)
      await this.#store.update(this.#spec.run_id, { events, patch })
    this.#created = true
    this.#patched = this.#next.patch
  }
}
