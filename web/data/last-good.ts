import { ask } from './api.ts'
import { getRun, type RunPage, type WholeRun } from './runs.ts'

/** The last success of the same workflow that began before a run, whole; null where there is none. */
export async function readLastGood(
  { run_id, workflow_name, created_at }: Pick<WholeRun, 'run_id' | 'workflow_name' | 'created_at'>,
  signal: AbortSignal,
): Promise<WholeRun | null> {
  const { runs } = await ask<RunPage>('GET', '/api/runs', {
    query: { workflow_name, status: 'success', created_before: created_at, limit: 2 },
    signal,
  })
  const found = runs.find((one) => one.run_id !== run_id)
  return found === undefined ? null : await getRun(found.run_id, signal)
}

/** For `useQuery`. */
export const lastGoodQuery = (run: WholeRun) => ({
  queryKey: ['last-good', run.run_id],
  queryFn: ({ signal }: { signal: AbortSignal }) => readLastGood(run, signal),
  staleTime: Number.POSITIVE_INFINITY,
})
