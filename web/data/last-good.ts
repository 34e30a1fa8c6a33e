import { useQuery } from '@tanstack/react-query'
import type { LastGood } from '../../src/contract/runs/run-parts.ts'
import { ask } from './api.ts'
import { type RunDetail, runQuery } from './runs.ts'

type Of = Pick<RunDetail, 'run_id'>

/** The last success before this run, of the same workflow and owner; null if there is none. For `useQuery`. */
export const lastGoodQuery = ({ run_id }: Of) => ({
  queryKey: ['last-good', run_id],
  queryFn: async ({ signal }: { signal: AbortSignal }) => {
    const path = `/api/runs/${encodeURIComponent(run_id)}/last-good`
    return (await ask<LastGood>('GET', path, { signal })).run ?? null
  },
  staleTime: Number.POSITIVE_INFINITY,
})

/** Returns that run with its steps; `data` is null if there is none. */
export function useLastGood(
  run: Of,
  enabled = true,
): { data: RunDetail | null | undefined; error: Error | null } {
  const found = useQuery({ ...lastGoodQuery(run), enabled })
  const id = found.data?.run_id
  const whole = useQuery({ ...runQuery(id ?? ''), enabled: enabled && id !== undefined })
  return { data: found.data === null ? null : whole.data, error: found.error ?? whole.error }
}
