import { setTimeout as sleep } from 'node:timers/promises'
import type { RunRecord } from '../../contract/run.ts'
import { finalRunStatuses, isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Log } from '../../platform/log.ts'
import { givenTokenNames } from '../auth/given-tokens.ts'
import type { AccountStore } from '../store/accounts.ts'
import { allRuns, withContinuations } from './run-family.ts'

export interface RetentionOptions {
  engine: Pick<EngineFace, 'get' | 'list' | 'remove'>
  accounts: Pick<AccountStore, 'forgetKeys' | 'forgetTokens'>
  /** How long an ended run is kept after its end; absent: for ever. */
  keptMs?: number
  log: Log
}

const HOUR_MS = 3_600_000
/** How long a token is still listed that was revoked, was used up or has expired. */
const TOKENS_KEPT_MS = 30 * 24 * HOUR_MS
/** Runs of one removal; after each comes a pause, so that the hub is never busy with this alone. */
const AT_ONCE = 50
const PAUSE_MS = 10

/**
 * Removes tokens that are no good any more, and runs when their time is over. A run goes in one with the runs it has started and the ones that go on with
 * its session or undo it, when the last of them has been over for so long.
 */
export class Retention {
  readonly #options: RetentionOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  /** Sweeps at once, and then again and again until it is closed. */
  constructor(options: RetentionOptions) {
    this.#options = options
    this.#done = this.#loop()
  }

  /** Resolves when what is under way is finished. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #loop(): Promise<void> {
    const { engine, accounts, keptMs, log } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await accounts.forgetTokens(new Date(Date.now() - TOKENS_KEPT_MS).toISOString(), givenTokenNames)
        const removed =
          keptMs === undefined ? 0 : await sweep({ engine, accounts, keptMs }, Date.now(), signal)
        if (removed > 0) log(`Runs removed since the time for which they are kept is over: ${removed}.`)
      } catch (error) {
        const why = error instanceof Error ? error.message : error
        log(`Old runs and tokens could not be removed; it is tried again later: ${why}`, { level: 'warn' })
      }
      await sleep(HOUR_MS, undefined, { signal, ref: false }).catch(() => {})
    }
  }
}

/** Returns how many runs were removed. */
export async function sweep(
  { engine, accounts, keptMs }: Pick<RetentionOptions, 'engine' | 'accounts'> & { keptMs: number },
  nowMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const before = new Date(nowMs - keptMs).toISOString()
  const isOver = ({ status, finished_at }: RunRecord) =>
    isFinalRun(status) && finished_at !== undefined && finished_at < before
  let removed = 0
  let batch: string[] = []
  const removeBatch = async () => {
    await engine.remove(batch)
    await accounts.forgetKeys(batch)
    removed += batch.length
    batch = []
    await sleep(PAUSE_MS)
  }
  for await (const run of allRuns(engine, { statuses: finalRunStatuses, created_before: before })) {
    if (signal?.aborted) break
    if (!isOver(run) || (await hasHead(engine, run))) continue
    const family = await withContinuations(engine, run)
    if (!family.every(isOver)) continue
    batch.push(...family.map(({ run_id }) => run_id))
    if (batch.length >= AT_ONCE) await removeBatch()
  }
  // Also where there is none: it finishes what a kill has left of an earlier one.
  await removeBatch()
  return removed
}

/** Another run, which is still there, takes this one with it. */
async function hasHead(
  engine: Pick<EngineFace, 'get'>,
  { parent, continues, rolls_back }: RunRecord,
): Promise<boolean> {
  for (const id of [parent?.run_id, continues, rolls_back])
    if (id !== undefined && (await engine.get(id)) !== undefined) return true
  return false
}
