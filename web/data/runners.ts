import { type QueryClient, queryOptions } from '@tanstack/react-query'
import type { ChangePool, PoolView } from '../../src/contract/fleet/provisioning.ts'
import type { RunnerGroup, RunnerGroups, RunnerWaits } from '../../src/contract/fleet/runner-groups.ts'
import type { EnrollmentCreated, RunnerView } from '../../src/contract/protocol.ts'
import type { ListedRunner, RunnerDetail } from '../../src/contract/runner-api.ts'
import { ask } from './api.ts'
import { LateChanges } from './live/late-changes.ts'
import { liveRuns } from './live/live.ts'

export const runnersQuery = queryOptions({
  queryKey: ['runners'],
  queryFn: ({ signal }) => ask<ListedRunner[]>('GET', '/api/runners', { signal }),
  staleTime: 0,
})
export const waitsQuery = queryOptions({
  queryKey: ['runner-waits'],
  queryFn: async ({ signal }) => (await ask<RunnerWaits>('GET', '/api/runner-waits', { signal })).waits,
  staleTime: 0,
})
export const groupsQuery = queryOptions({
  queryKey: ['runner-groups'],
  queryFn: async ({ signal }) => (await ask<RunnerGroups>('GET', '/api/runner-groups', { signal })).groups,
  staleTime: 0,
})

/**
 * Keeps the lists of runners, of the runs that wait for them and of groups up to date until the returned function is
 * called.
 */
export function keepRunnersLive(client: QueryClient): () => void {
  const again = (queryKey: readonly string[]) => void client.invalidateQueries({ queryKey })
  const late = new LateChanges(client, ['runners', 'runner-waits'])
  const stop = liveRuns.followRunners(
    (json, kind) => {
      if (kind === 'groups') return again(groupsQuery.queryKey)
      late.take(kind, () => {
        if (kind === 'runners') client.setQueryData(runnersQuery.queryKey, JSON.parse(json) as ListedRunner[])
        else client.setQueryData(waitsQuery.queryKey, (JSON.parse(json) as RunnerWaits).waits)
      })
    },
    () => {
      for (const { queryKey } of [runnersQuery, waitsQuery, groupsQuery]) again(queryKey)
    },
  )
  return () => {
    stop()
    late.stop()
  }
}

const of = ({ id }: Pick<RunnerView, 'id'>) => `/api/runners/${encodeURIComponent(id)}`
const groupOf = (name: string) => `/api/runner-groups/${encodeURIComponent(name)}`

export const runnerQuery = (id: string) =>
  queryOptions({
    queryKey: ['runner', id],
    queryFn: ({ signal }) => ask<RunnerDetail>('GET', of({ id }), { signal }),
    staleTime: 0,
  })
export const drainRunner = (runner: Pick<RunnerView, 'id'>) =>
  ask('POST', `${of(runner)}/drain`, { body: {} })
export const resumeRunner = (runner: Pick<RunnerView, 'id'>) =>
  ask('POST', `${of(runner)}/resume`, { body: {} })
export const removeRunner = (runner: Pick<RunnerView, 'id' | 'status'>) =>
  ask('DELETE', of(runner), { query: { force: runner.status === 'disconnected' ? undefined : 'true' } })

/** Creates a token that enrols one machine as a runner; names the group unless it is the default one. */
export const createEnrollment = (group: string, idempotencyKey?: string) =>
  ask<EnrollmentCreated>('POST', '/api/runners/enrollments', {
    body: group === 'default' ? {} : { group },
    idempotencyKey,
  })

export const changePool = (name: string, change: ChangePool) =>
  ask<PoolView>('PATCH', `${groupOf(name)}/pool`, { body: change })
export const emptyPool = (name: string, working: boolean) =>
  ask('POST', `${groupOf(name)}/empty`, { body: { working } })

export const makeGroup = (name: string, idempotencyKey?: string) =>
  ask<RunnerGroup>('POST', '/api/runner-groups', { body: { name }, idempotencyKey })
export const renameGroup = (from: string, name: string) =>
  ask<RunnerGroup>('PATCH', groupOf(from), { body: { name } })
export const deleteGroup = (name: string) => ask('DELETE', groupOf(name))
