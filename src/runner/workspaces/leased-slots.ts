import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { ErrandError, errorStatus, messageOf } from '../../contract/errors.ts'
import type { RunnerAnswer, SlotAsk } from '../../contract/tasks/pool-ask.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Log } from '../../platform/log.ts'
import { GitRefused } from '../git/git-words.ts'
import type { TokenOf } from '../git/repository-token.ts'
import type { WorkspacePool } from './workspace-pool.ts'

export interface LeasedSlotsOptions {
  pool: Pick<WorkspacePool, 'lease' | 'release' | 'of' | 'holders' | 'hasRoom'>
  /** Folder with the file that records the leases. */
  dir: string
  tokenOf: TokenOf
  log: Log
}

/** Time at which each slot's lease ends, in milliseconds since 1970. */
const Leases = z.record(z.string(), z.number())

/** Prefix of the pool's names for these slots: no run id contains a colon. */
export const LEASED = 'slot:'
/** Longest delay of a timer in ms. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Manages slots of this runner that are leased for a limited time to something other than its runs, across restarts. A
 * lease is recorded before its slot is made, so that no slot is ever held without one.
 */
export class LeasedSlots {
  readonly #options: LeasedSlotsOptions
  readonly #file: string
  readonly #leases: Map<string, number>
  #timer: NodeJS.Timeout | undefined

  constructor(options: LeasedSlotsOptions) {
    this.#options = options
    this.#file = join(options.dir, 'leases.json')
    this.#leases = new Map(Object.entries(readLeases(this.#file)))
    for (const holder of options.pool.holders())
      if (holder.startsWith(LEASED) && !this.#leases.has(holder.slice(LEASED.length)))
        void options.pool.release(holder)
    this.#endOver()
  }

  /** Executes a request of a hub. Never rejects. */
  async answer(ask: SlotAsk, signal: AbortSignal): Promise<RunnerAnswer> {
    try {
      if (ask.what === 'allocate_slot') return await this.#allocate(ask, signal)
      if (ask.what === 'release_slot') await this.#release(ask.slot_id)
      else if (ask.what === 'renew_slot' && this.#leases.has(ask.slot_id))
        this.#note(ask.slot_id, Date.now() + ask.lease_ms)
      const slot = this.#leases.has(ask.slot_id) ? this.#options.pool.of(LEASED + ask.slot_id) : undefined
      return slot === undefined ? { exists: false } : { exists: true, slot_path: slot.work }
    } catch (error) {
      return { exists: false, error: answerError(error) }
    }
  }

  /** Stops the timer but ends no lease: a later process does, at its time. Idempotent. */
  close(): void {
    clearTimeout(this.#timer)
  }

  async #allocate(
    { slot_id, tenant, repo_url, ref, token, lease_ms }: Extract<SlotAsk, { what: 'allocate_slot' }>,
    signal: AbortSignal,
  ): Promise<RunnerAnswer> {
    const { pool, tokenOf, log } = this.#options
    if (!this.#leases.has(slot_id) && !pool.hasRoom())
      throw new ErrandError('no_slot', 'All slots of this runner are in use.', {
        hint: 'Try again later, or release one.',
      })
    const env: Record<string, string> = token === undefined ? {} : { GIT_TOKEN: token }
    const credential = tokenOf({ spec: {}, env, args: { repo: repo_url, token_env: 'GIT_TOKEN' } })
    const report = (message: string) => log(`Slot ${slot_id}: ${message}`, { level: 'debug' })
    this.#note(slot_id, Date.now() + lease_ms)
    try {
      const user = { run_id: LEASED + slot_id, tenant }
      const { work } = await pool.lease(user, { repo: repo_url, ref }, credential, { signal, report })
      if (!this.#leases.has(slot_id))
        throw new ErrandError('conflict', 'The lease ended before the slot was created.', {
          hint: 'Request a longer lease with lease_seconds.',
        })
      // It begins when it is handed out.
      this.#note(slot_id, Date.now() + lease_ms)
      return { exists: true, slot_path: work }
    } catch (error) {
      await this.#release(slot_id)
      throw error
    }
  }

  async #release(slotId: string): Promise<void> {
    this.#note(slotId, undefined)
    await this.#options.pool.release(LEASED + slotId)
  }

  #note(slotId: string, untilMs: number | undefined): void {
    if (untilMs === undefined) this.#leases.delete(slotId)
    else this.#leases.set(slotId, untilMs)
    writeFileAtomic(this.#file, JSON.stringify(Object.fromEntries(this.#leases)), { mode: 0o600 })
    this.#wait()
  }

  #endOver(): void {
    const now = Date.now()
    for (const [slotId, untilMs] of this.#leases)
      if (untilMs <= now)
        this.#release(slotId).catch((error: Error) =>
          this.#options.log(`The slot ${slotId} could not be released: ${error.message}`, {
            level: 'warn',
          }),
        )
    this.#wait()
  }

  #wait(): void {
    clearTimeout(this.#timer)
    if (this.#leases.size === 0) return
    const next = Math.min(...this.#leases.values()) - Date.now()
    this.#timer = setTimeout(() => this.#endOver(), Math.min(LONGEST_MS, Math.max(0, next))).unref()
  }
}

function readLeases(file: string): Record<string, number> {
  try {
    return Leases.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    // None was ever leased, or the file is not ours: what is held without a lease is given back.
    return {}
  }
}

/** Converts an error: a reason of Git becomes the code of that name, if there is one. */
function answerError(error: unknown): NonNullable<RunnerAnswer['error']> {
  const message = messageOf(error)
  if (!(error instanceof ErrandError)) return { code: 'internal', message }
  const { code, hint } = error
  if (!(error instanceof GitRefused)) return { code, message, hint }
  const { reason } = error
  return { code: Object.hasOwn(errorStatus, reason) ? reason : 'invalid_argument', message, hint }
}
