import type { RunRecord } from '../../contract/run.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { RunQuery } from '../../engine/ports.ts'

type Lists = Pick<EngineFace, 'list'>

const PAGE = 500

/** The run and all that it has started, and what those have: the run first. */
export const withChildren = (engine: Lists, run: RunRecord): Promise<RunRecord[]> =>
  spread(engine, run, ({ run_id }) => [{ parent_run_id: run_id }])

/** As `withChildren`, and the runs that go on with the session of one of them, or undo one. */
export const withContinuations = (engine: Lists, run: RunRecord): Promise<RunRecord[]> =>
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

/** All pages of a list. Runs may be removed meanwhile. */
export async function* allRuns(engine: Lists, query: Omit<RunQuery, 'limit'>): AsyncGenerator<RunRecord> {
  for (let cursor: string | undefined; ; ) {
    const page = await engine.list({ ...query, limit: PAGE, cursor })
    yield* page.runs
    cursor = page.next_cursor
    if (cursor === undefined) return
  }
}
