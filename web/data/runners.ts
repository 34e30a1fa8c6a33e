import { type QueryClient, queryOptions } from '@tanstack/react-query'
import type { RunnerView } from '../../src/contract/protocol.ts'
import type { RunnerDetail } from '../../src/contract/runner-api.ts'
import { ask } from './api.ts'
import { liveRuns } from './live.ts'

export const runnersQuery = queryOptions({
  queryKey: ['runners'],
  queryFn: ({ signal }) => ask<RunnerView[]>('GET', '/api/runners', { signal }),
  staleTime: 0,
})

/** Keeps the list of runners live until what it answers is called. */
export function keepRunnersLive(client: QueryClient): () => void {
  return liveRuns.followRunners(
    (json) => client.setQueryData(runnersQuery.queryKey, JSON.parse(json) as RunnerView[]),
    () => void client.invalidateQueries({ queryKey: runnersQuery.queryKey }),
  )
}

const of = ({ id }: Pick<RunnerView, 'id'>) => `/api/runners/${encodeURIComponent(id)}`

export const getRunner = (runner: Pick<RunnerView, 'id'>, signal?: AbortSignal) =>
  ask<RunnerDetail>('GET', of(runner), { signal })
export const drainRunner = (runner: RunnerView) => ask('POST', `${of(runner)}/drain`, { body: {} })
export const resumeRunner = (runner: RunnerView) => ask('POST', `${of(runner)}/resume`, { body: {} })
export const removeRunner = (runner: RunnerView) =>
  ask('DELETE', of(runner), { query: { force: runner.status === 'disconnected' ? undefined : 'true' } })
