import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { ErrandError, isErrandError } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import type { RunnerAnswer, SlotAsk } from '../../contract/tasks/pool-ask.ts'
import type { AllocatedSlot, AllocateSlot, SlotView } from '../../contract/tasks/services.ts'
import { repositoryAddress } from '../../forge/address.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import type { TenantRunner } from '../../stores/accounts.ts'
import type { PoolSlot, PoolSlotStore } from '../../stores/sqlite/pool-slots.ts'
import type { RunnersFace } from '../api/api-context.ts'
import type { Secrets } from '../secrets.ts'
import type { Requester } from './new-tasks.ts'
import { TOKEN_SECRETS } from './repository-tokens.ts'

/** Asks runners about slots. Throws what the runner reports, or `unavailable`. */
export interface SlotQueries {
  answer(of: TenantRunner, ask: SlotAsk, withinMs: number): Promise<RunnerAnswer>
}

export interface RepoPoolOptions {
  store: PoolSlotStore
  asks: SlotQueries
  runners: Pick<RunnersFace, 'list'>
  secrets: Pick<Secrets, 'valueSeen'>
}

/** Milliseconds that making a slot may take: a new repository is cloned as a whole. */
const MADE_WITHIN_MS = 10 * 60_000
const REPORT_TIMEOUT_MS = 5_000
const RETRY_MS = 1_000
const RETRY_AFTER_SECONDS = 5
/** Limits the slots of one user, because runs need some too. */
const MOST_HELD = 32
const WAIT_SECONDS = 30
/** Milliseconds that a released slot is still recognized. */
const REMEMBERED_MS = 30 * 24 * 3_600_000

/**
 * Hands out slots of connected runners to other systems by lease; this is the repo pool's service. The store knows
 * the slots across restarts. A runner ends a lease by itself when its time is over.
 */
export class RepoPool {
  readonly #options: RepoPoolOptions
  readonly #mutex = new KeyedMutex()
  /** Number of slots that are being made or waited for, by user. */
  readonly #making = new Map<string, number>()
  readonly #stop = new AbortController()

  constructor(options: RepoPoolOptions) {
    this.#options = options
  }

  /**
   * Returns a slot with a checkout of the repository. The same holder gets the same slot while the lease lasts.
   * Throws `no_slot` if none becomes free in time, and what the runner reports about the repository.
   */
  async allocate(by: Requester, ask: z.output<typeof AllocateSlot>): Promise<AllocatedSlot> {
    const { tenant, owner } = by
    const { required_by, repo_url } = ask
    const held = { tenant, owner, required_by, repo_url }
    return await this.#mutex.run(JSON.stringify(Object.values(held)), async () => {
      const { store } = this.#options
      const there = await store.held(held)
      if (there !== undefined && (await this.#isLeased(there))) return allocated(there)
      await store.forget(new Date(Date.now() - REMEMBERED_MS).toISOString())
      const user = JSON.stringify([tenant, owner])
      const making = this.#making.get(user) ?? 0
      if (making + (await store.count(held, new Date().toISOString())) >= MOST_HELD)
        throw new ErrandError(
          'quota_exceeded',
          `You hold ${MOST_HELD} slots, which is the limit for a user.`,
          {
            hint: 'Release some: POST /api/pool/slots/ID/release',
          },
        )
      this.#making.set(user, (this.#making.get(user) ?? 0) + 1)
      const slot = await this.#made(held, ask).finally(() => {
        const left = this.#making.get(user)! - 1
        if (left === 0) this.#making.delete(user)
        else this.#making.set(user, left)
      })
      await store.add(slot)
      return allocated(slot)
    })
  }

  /** Returns a slot. Throws `not_found`, also for somebody else's. */
  async view(by: Requester, slotId: string): Promise<z.input<typeof SlotView>> {
    const slot = await this.#slot(by, slotId)
    const { slot_id, slot_path, runner, repo_url, required_by: held_by, lease_expires_at } = slot
    const known = { slot_id, slot_path, runner, repo_url }
    return (await this.#isLeased(slot))
      ? { ...known, state: 'leased', held_by, lease_expires_at }
      : { ...known, state: 'free' }
  }

  /**
   * Releases a slot; a repeat changes nothing. Throws `not_found`, and `conflict` if the fence belongs to another
   * lease.
   */
  async release(by: Requester, slotId: string, fence: string | undefined): Promise<void> {
    const slot = await this.#slot(by, slotId, fence)
    if (slot.is_released) return
    await this.#options.store.release(slotId)
    // If its runner is away, it frees the slot when the lease is over.
    await this.#ask(slot, { what: 'release_slot', slot_id: slotId }).catch(ignoreAway)
  }

  /** Restarts the time of the lease. Throws as `release` does, and `unavailable` while its runner is away. */
  async renew(
    by: Requester,
    slotId: string,
    { fence, lease_seconds }: { fence: string | undefined; lease_seconds: number },
  ): Promise<AllocatedSlot> {
    const slot = await this.#slot(by, slotId, fence)
    const lease_ms = lease_seconds * 1000
    const lease_expires_at = new Date(Date.now() + lease_ms).toISOString()
    const isOver =
      !isHeld(slot) || !(await this.#ask(slot, { what: 'renew_slot', slot_id: slotId, lease_ms })).exists
    if (isOver)
      throw new ErrandError('conflict', `The lease of ${slotId} has ended.`, {
        hint: 'Allocate another slot.',
      })
    await this.#options.store.renew(slotId, lease_expires_at)
    return allocated({ ...slot, lease_expires_at })
  }

  /** Ends all waits for a free slot. May be called twice. */
  close(): void {
    this.#stop.abort()
  }

  async #made(
    held: Pick<PoolSlot, 'tenant' | 'owner' | 'required_by' | 'repo_url'>,
    { ref, runner, lease_seconds, timeout_seconds = WAIT_SECONDS }: z.output<typeof AllocateSlot>,
  ): Promise<PoolSlot> {
    const { tenant, owner, repo_url } = held
    const token = await this.#options.secrets.valueSeen(
      { tenant, owner, repository: nameOf(repo_url) },
      TOKEN_SECRETS,
      repo_url,
    )
    const lease_ms = lease_seconds * 1000
    const untilMs = performance.now() + timeout_seconds * 1000
    for (;;) {
      let why = runner === undefined ? 'No runner is connected' : `Runner "${runner}" is not connected`
      for (const id of await this.#candidates(tenant, runner)) {
        const slot_id = `slot_${randomText(16)}`
        const ask = { what: 'allocate_slot', slot_id, tenant, repo_url, ref, token, lease_ms } as const
        try {
          const answer = this.#options.asks.answer({ tenant, id }, ask, MADE_WITHIN_MS)
          const { slot_path } = await answer
          if (slot_path === undefined)
            throw new ErrandError('unavailable', `Runner "${id}" does not support slots.`)
          const lease_expires_at = new Date(Date.now() + lease_ms).toISOString()
          const fence = randomText(16)
          return { ...held, slot_id, runner: id, slot_path, fence, lease_expires_at, is_released: false }
        } catch (error) {
          if (!isErrandError(error) || !['no_slot', 'unavailable'].includes(error.code)) throw error
          why = error.message.replace(/\.$/, '')
        }
      }
      if (performance.now() + RETRY_MS > untilMs || this.#stop.signal.aborted)
        throw new ErrandError('no_slot', `No slot was free within ${timeout_seconds} s. ${why}.`, {
          hint: 'Try again later, release a slot, or raise timeout_seconds.',
          details: { retry_after_seconds: RETRY_AFTER_SECONDS },
        })
      await sleep(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined)
    }
  }

  /** Returns the candidate runners, fewest attempts first. */
  async #candidates(tenant: string, runner: string | undefined): Promise<string[]> {
    const all = await this.#options.runners.list(tenant)
    return all
      .filter(({ id, status }) => status === 'connected' && (runner === undefined || id === runner))
      .sort((a, b) => a.running - b.running)
      .map(({ id }) => id)
  }

  /** Reports whether the slot is leased. If its runner is away, the store decides. */
  async #isLeased(slot: PoolSlot): Promise<boolean> {
    if (!isHeld(slot)) return false
    const answer = await this.#ask(slot, { what: 'look_at_slot', slot_id: slot.slot_id }).catch(ignoreAway)
    return answer?.exists ?? true
  }

  async #ask({ tenant, runner }: PoolSlot, ask: SlotAsk): Promise<RunnerAnswer> {
    return await this.#options.asks.answer({ tenant, id: runner }, ask, REPORT_TIMEOUT_MS)
  }

  async #slot({ tenant, owner, isAdmin }: Requester, slotId: string, fence?: string): Promise<PoolSlot> {
    const slot = await this.#options.store.get(slotId)
    if (slot === undefined || slot.tenant !== tenant || !(isAdmin || slot.owner === owner))
      throw new ErrandError('not_found', `Slot "${slotId}" not found.`, {
        hint: 'Use the slot_id that the allocation returned.',
      })
    if (fence === undefined || fence === slot.fence) return slot
    throw new ErrandError('conflict', `The lease of ${slotId} does not match the fence in If-Match.`, {
      hint: 'Send the fence that the allocation returned, or omit If-Match.',
    })
  }
}

const isHeld = ({ is_released, lease_expires_at }: PoolSlot): boolean =>
  !is_released && Date.parse(lease_expires_at) > Date.now()

const allocated = ({ slot_id, slot_path, runner, lease_expires_at, fence }: PoolSlot): AllocatedSlot => ({
  ...{ slot_id, slot_path, runner, lease_expires_at, fence },
})

function ignoreAway(error: unknown): undefined {
  if (!isErrandError(error) || error.code !== 'unavailable') throw error
}

/** Returns the name that secrets of repositories use for it. */
function nameOf(repoUrl: string): string | undefined {
  try {
    return repositoryAddress(repoUrl).path
  } catch {
    return undefined
  }
}
