import type { LastGood } from '../../src/contract/runs/run-parts.ts'
import { ask } from './api.ts'
import { getRun, type WholeRun } from './runs.ts'

/** The last success of the same workflow and owner before a run, whole; null where there is none. For `useQuery`. */
export const lastGoodQuery = ({ run_id }: Pick<WholeRun, 'run_id'>) => ({
  queryKey: ['last-good', run_id],
  queryFn: async ({ signal }: { signal: AbortSignal }) => {
    const { run } = await ask<LastGood>('GET', `/api/runs/${encodeURIComponent(run_id)}/last-good`, {
      signal,
    })
    return run === undefined ? null : await getRun(run.run_id, signal)
  },
  staleTime: Number.POSITIVE_INFINITY,
})
