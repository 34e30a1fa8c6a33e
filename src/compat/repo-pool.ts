import * as z from 'zod'
import { AllocatedSlot } from '../contract/tasks/services.ts'
import { ServiceCaller, type ServiceOptions } from './service-caller.ts'

/** Milliseconds for copying the repository, in addition to the wait for a free slot. */
const MADE_MS = 10 * 60_000
/** The longest lease of a hub's pool, in seconds. */
const LONGEST_SECONDS = 7 * 86_400
const path = (slotId: string, what: string) => `slots/${encodeURIComponent(slotId)}/${what}`

/** Client of an external repo pool, with the usual paths and fields. Its methods throw as `ServiceCaller` does. */
export class RepoPoolClient {
  readonly #service: ServiceCaller

  constructor(options: ServiceOptions) {
    this.#service = new ServiceCaller('repo pool', options)
  }

  get url(): string {
    return this.#service.url
  }

  /** Allocates a slot; the same holder gets the same slot. If the pool has leases, it asks for the longest. */
  async allocate(
    ask: { repo_url: string; required_by: string; timeout_seconds?: number },
    signal?: AbortSignal,
  ): Promise<AllocatedSlot> {
    const timeoutMs = MADE_MS + (ask.timeout_seconds ?? 0) * 1000
    const body = () => ask
    const answer = AllocatedSlot
    const slot = await this.#service.post({ path: 'slots/allocate', body, answer, timeoutMs, signal })
    if (slot.fence === undefined) return slot
    return await this.#service.post({
      path: path(slot.slot_id, 'renew'),
      headers: { 'if-match': slot.fence },
      body: () => ({ lease_seconds: LONGEST_SECONDS }),
      ...{ answer, signal },
    })
  }

  /** Releases a slot. Idempotent. */
  async release(slotId: string, fence?: string, signal?: AbortSignal): Promise<void> {
    await this.#service.post({
      path: path(slotId, 'release'),
      headers: fence === undefined ? {} : { 'if-match': fence },
      body: () => ({}),
      // Any answer is accepted.
      answer: z.unknown(),
      signal,
    })
  }
}
