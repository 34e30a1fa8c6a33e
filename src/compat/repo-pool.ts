import * as z from 'zod'
import { AllocatedSlot } from '../contract/tasks/services.ts'
import { ServiceCaller, type ServiceOptions } from './service-caller.ts'

/** Beside the time for a free slot, a copy of the repository has to be made. */
const MADE_MS = 10 * 60_000
/** The longest lease of a hub's pool. */
const LONGEST_SECONDS = 7 * 86_400
const path = (slotId: string, what: string) => `slots/${encodeURIComponent(slotId)}/${what}`

/** A repo pool elsewhere, in the paths and fields that such have. Its methods throw as `ServiceCaller` does. */
export class RepoPoolClient {
  readonly #service: ServiceCaller

  constructor(options: ServiceOptions) {
    this.#service = new ServiceCaller('repo pool', options)
  }

  get url(): string {
    return this.#service.url
  }

  /** The same holder has the same slot. Where the pool tells of a lease, it is the longest that there is. */
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

  /** Done before changes nothing. */
  async release(slotId: string, fence?: string, signal?: AbortSignal): Promise<void> {
    await this.#service.post({
      path: path(slotId, 'release'),
      headers: fence === undefined ? {} : { 'if-match': fence },
      body: () => ({}),
      // Whatever it says.
      answer: z.unknown(),
      signal,
    })
  }
}
