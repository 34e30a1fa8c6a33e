import { hash } from 'node:crypto'
import { ErrandError } from '../contract/errors.ts'
import { newRunId } from '../contract/ids.ts'
import type { RunRecord } from '../contract/run.ts'
import type { EngineFace, Submission } from '../engine/api.ts'
import type { AccountStore } from '../stores/accounts.ts'
import { DEFAULT_TENANT } from './auth/tokens.ts'

export interface Created {
  record: RunRecord
  /** False if the key's run existed already. */
  fresh: boolean
}

/**
 * Creates a run once per key. The key is claimed with the run's id before the run is created, so that a repeat after
 * a crash in between creates that same run. A refused request releases its key.
 */
export class IdempotentRuns {
  readonly #engine: EngineFace
  readonly #accounts: AccountStore
  /** Requests in progress, by owner and key. A second one waits for the first. */
  readonly #pending = new Map<string, Promise<unknown>>()

  constructor(engine: EngineFace, accounts: AccountStore) {
    this.#engine = engine
    this.#accounts = accounts
  }

  create(key: string, submission: Submission & { owner: string }): Promise<Created> {
    const { run_id = newRunId() } = submission
    return this.once(key, submission, submission, run_id, (id) =>
      this.#engine.submit({ ...submission, run_id: id }),
    )
  }

  /**
   * Does the same for a run that is started in another way. `begin` gets the id of the run, and `request` is what a
   * repeat must equal.
   */
  async once(
    key: string,
    who: { owner: string; tenant?: string },
    request: unknown,
    runId: string,
    begin: (runId: string) => Promise<RunRecord>,
  ): Promise<Created> {
    const place = `${who.tenant}\n${who.owner}\n${key}`
    for (let before = this.#pending.get(place); before !== undefined; before = this.#pending.get(place))
      await before.catch(() => undefined)
    const mine = this.#claimAndBegin(key, who, request, runId, begin)
    this.#pending.set(place, mine)
    try {
      return await mine
    } finally {
      this.#pending.delete(place)
    }
  }

  async #claimAndBegin(
    key: string,
    who: { owner: string; tenant?: string },
    request: unknown,
    run_id: string,
    begin: (runId: string) => Promise<RunRecord>,
  ): Promise<Created> {
    const owner = keyOwner(who)
    const request_hash = hash('sha256', JSON.stringify(request))
    const created_at = new Date().toISOString()
    const earlier = await this.#accounts.claimKey({ key, owner, request_hash, run_id, created_at })
    if (earlier !== undefined && earlier.request_hash !== request_hash)
      throw new ErrandError(
        'idempotency_mismatch',
        `The Idempotency-Key "${key}" was already used for another request.`,
        {
          hint: 'Use a new key for a new request. A repeated request must have the same body.',
          details: { run_id: earlier.run_id },
        },
      )
    if (earlier !== undefined) {
      const record = await this.#engine.get(earlier.run_id)
      if (record !== undefined) return { record, fresh: false }
    }
    try {
      const record = await begin(earlier?.run_id ?? run_id)
      return { record, fresh: true }
    } catch (error) {
      if (!(error instanceof ErrandError)) throw error
      if (error.code === 'run_exists' && earlier !== undefined) {
        // Another hub worked on it at the same moment.
        const record = await this.#engine.get(earlier.run_id)
        if (record !== undefined) return { record, fresh: false }
      }
      if (error.status < 500) await this.#accounts.releaseKey(owner, key)
      throw error
    }
  }
}

/**
 * Returns the owner of a key: a user name with its tenant, or just the name in the first tenant, as before there were
 * others.
 */
const keyOwner = ({ owner, tenant = DEFAULT_TENANT }: { owner: string; tenant?: string }): string =>
  tenant === DEFAULT_TENANT ? owner : `${tenant}/${owner}`
