import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { finalRunStatuses, isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { RunQuery } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'
import type { AccountStore } from '../../stores/accounts.ts'
import { configuredTokenNames } from '../auth/tokens.ts'

export interface RetentionOptions {
  engine: Pick<EngineFace, 'get' | 'list' | 'remove'>
  accounts: Pick<AccountStore, 'forgetKeys' | 'forgetTokens'>
  /** Tasks are removed like runs, and their tries not before them. */
  tasks?: {
    removeOver(before: string): Promise<number>
    holds(run: RunRecord): Promise<boolean>
  }
  /** Files that other systems have stored; they are removed by age. */
  stored?: { removeOver(before: string): Promise<void> }
  /** Milliseconds that an ended run stays after its end; absent means forever. */
  retainMs?: number
  log: Log
}

const HOUR_MS = 3_600_000
/** Milliseconds that a revoked, used or expired token is still listed. */
const TOKEN_RETENTION_MS = 30 * 24 * HOUR_MS
/** Number of runs per removal. A pause follows each, so that the hub is never busy with this alone. */
const AT_ONCE = 50
const PAUSE_MS = 10

/**
 * Removes tokens that are no longer valid, and runs whose time is over. A run is removed together with the runs that
 * it started and those that continue its session or undo it, once the last of them has been over for long enough.
 */
export class Retention {
  readonly #options: RetentionOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  /** Sweeps at once and then every hour until it is closed. */
  constructor(options: RetentionOptions) {
    this.#options = options
    this.#done = this.#loop()
  }

  /** Resolves when work in progress is finished. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #loop(): Promise<void> {
    const { engine, accounts, tasks, stored, retainMs, log } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await accounts.forgetTokens(
          new Date(Date.now() - TOKEN_RETENTION_MS).toISOString(),
          configuredTokenNames,
        )
        const removed =
          retainMs === undefined
            ? 0
            : await sweep({ engine, accounts, tasks, stored, retainMs }, Date.now(), signal)
        if (removed > 0) log(`Runs removed because their retention time is over: ${removed}.`)
      } catch (error) {
        const why = error instanceof Error ? error.message : error
        log(`Old runs and tokens could not be removed. The hub tries again later: ${why}`, { level: 'warn' })
      }
      await sleep(HOUR_MS, undefined, { signal, ref: false }).catch(() => {})
    }
  }
}

/** Removes what is old enough. Returns how many runs were removed. */
export async function sweep(
  {
    engine,
    accounts,
    tasks,
    stored,
    retainMs,
  }: Pick<RetentionOptions, 'engine' | 'accounts' | 'tasks' | 'stored'> & { retainMs: number },
  nowMs: number,
  signal?: AbortSignal,
): Promise<number> {
  const before = new Date(nowMs - retainMs).toISOString()
  const isOver = ({ status, finished_at }: RunRecord) =>
    isFinalRun(status) && finished_at !== undefined && finished_at < before
  await tasks?.removeOver(before)
  await stored?.removeOver(before)
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
    if (await tasks?.holds(run)) continue
    const family = await withContinuations(engine, run)
    if (!family.every(isOver)) continue
    batch.push(...family.map(({ run_id }) => run_id))
    if (batch.length >= AT_ONCE) await removeBatch()
  }
  // Called even for an empty batch: it finishes an earlier removal that was interrupted.
  await removeBatch()
  return removed
}

/** Reports whether another existing run takes this one with it. */
async function hasHead(
  engine: Pick<EngineFace, 'get'>,
  { parent, continues, rolls_back }: RunRecord,
): Promise<boolean> {
  for (const id of [parent?.run_id, continues, rolls_back])
    if (id !== undefined && (await engine.get(id)) !== undefined) return true
  return false
}

type Lists = Pick<EngineFace, 'list'>

const PAGE = 500

/** Returns the run and all runs that it started, directly or not; the run comes first. */
const withChildren = (engine: Lists, run: RunRecord): Promise<RunRecord[]> =>
  spread(engine, run, ({ run_id }) => [{ parent_run_id: run_id }])

/** Same as `withChildren`, plus the runs that continue the session of one of them, or undo one. */
const withContinuations = (engine: Lists, run: RunRecord): Promise<RunRecord[]> =>
  spread(engine, run, ({ run_id }) => [
    { parent_run_id: run_id },
    { continues: run_id },
    { rolls_back: run_id },
  ])

async function spread(
  engine: Lists,
  run: RunRecord,
  next: (run: RunRecord) => Omit<RunQuery, 'limit'>[],
): Promise<RunRecord[]> {
  const family = new Map([[run.run_id, run]])
  for (const member of family.values())
    for (const query of next(member))
      for await (const found of allRuns(engine, query))
        if (!family.has(found.run_id)) family.set(found.run_id, found)
  return [...family.values()]
}

/** Yields all pages of a list. Runs may be removed meanwhile. */
export async function* allRuns(engine: Lists, query: Omit<RunQuery, 'limit'>): AsyncGenerator<RunRecord> {
  for (let cursor: string | undefined; ; ) {
    const page = await engine.list({ ...query, limit: PAGE, cursor })
    yield* page.runs
    cursor = page.next_cursor
    if (cursor === undefined) return
  }
}

/**
 * Removes an ended run and the runs that it started, but not those that continue its session. Returns their ids.
 * Throws `run_not_ended`. Throws `conflict` for a run that an existing run started, and for one that proves that
 * another run was undone.
 */
export async function deleteRun(
  engine: Pick<EngineFace, 'get' | 'list' | 'remove'>,
  accounts: Pick<AccountStore, 'forgetKeys'>,
  run: RunRecord,
): Promise<string[]> {
  const parentId = run.parent?.run_id
  if (parentId !== undefined && (await engine.get(parentId)) !== undefined)
    throw new ErrandError('conflict', `Run ${run.run_id} belongs to run ${parentId}, which started it.`, {
      hint: `Delete both with: errand runs delete ${parentId}`,
    })
  const { rolls_back } = run
  if (rolls_back !== undefined && run.status === 'success' && (await engine.get(rolls_back)) !== undefined)
    throw new ErrandError(
      'conflict',
      `Run ${run.run_id} rolled back run ${rolls_back}, and cannot be deleted before it.`,
      {
        hint: `Delete run ${rolls_back} first: errand runs delete ${rolls_back}`,
      },
    )
  const ids = (await withChildren(engine, run)).map(({ run_id }) => run_id)
  await engine.remove(ids)
  await accounts.forgetKeys(ids)
  return ids
}
