import type { InstancePage, StepOverview } from '../../src/contract/runs/run-parts.ts'
import { ask } from './api.ts'
import type { Instance, Step } from './runs.ts'

/** An instance with its position in the step. */
export type PlacedInstance = Instance & { index: number }

/** Of a step that has more, so many come with the run: those that failed first. */
export const FIRST_INSTANCES = 20
/** So many more at a time. */
const PAGE = 100

type Status = Instance['status']
type AtStep = Pick<Step, 'step' | 'phase'>

/** Says whether the run came with all instances of a step. */
export const isWhole = ({ counts }: Pick<Step, 'counts'>): boolean => counts === undefined

/** How many instances of a step have each status, all of them counted. */
export function countsOf({ instances, counts }: Step): Partial<Record<Status, number>> {
  if (counts !== undefined) return counts
  const all: Partial<Record<Status, number>> = {}
  for (const { status } of instances) all[status] = (all[status] ?? 0) + 1
  return all
}

/** How many instances of a step have one of these statuses; without any, all that it has. */
export function countOf(step: Step, ...some: Status[]): number {
  const all = Object.entries(countsOf(step)) as [Status, number][]
  return all.reduce(
    (sum, [status, count]) => (some.length === 0 || some.includes(status) ? sum + count : sum),
    0,
  )
}

const of = (run: string, step: string) =>
  `/api/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}`

interface Wanted {
  status?: Status
  text?: string
  host?: string
  index?: number
}

/** Pages of the instances of a step; `version` changes with what they hold. For `useInfiniteQuery`. */
export const instancesQuery = (run: string, { step, phase }: AtStep, wanted: Wanted, version: unknown) => ({
  queryKey: ['instances', run, phase, step, wanted, version],
  queryFn: ({ pageParam, signal }: { pageParam: string; signal: AbortSignal }) =>
    ask<InstancePage>('GET', `${of(run, step)}/instances`, {
      query: { phase, ...wanted, limit: PAGE, cursor: pageParam },
      signal,
    }),
  initialPageParam: '',
  getNextPageParam: ({ next_cursor }: InstancePage) => next_cursor,
  staleTime: Number.POSITIVE_INFINITY,
})

/** All instances of a step that failed, however many; `count` of them. For `fetchQuery`. */
export const failedQuery = (run: string, { step, phase }: AtStep, count: number) => ({
  queryKey: ['failed', run, phase, step, count],
  queryFn: async ({ signal }: { signal: AbortSignal }): Promise<PlacedInstance[]> => {
    const found: PlacedInstance[] = []
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: InstancePage = await ask('GET', `${of(run, step)}/instances`, {
        query: { phase, status: 'failed,interrupted', limit: 500, cursor },
        signal,
      })
      found.push(...page.instances)
      cursor = page.next_cursor
    }
    return found
  },
  staleTime: Number.POSITIVE_INFINITY,
})

/** The instance at a position, or the first on a host; null where there is none. For `useQuery`. */
export const instanceQuery = (
  run: string,
  { step, phase }: AtStep,
  wanted: Pick<Wanted, 'host' | 'index'>,
  version: unknown,
) => ({
  queryKey: ['instance', run, phase, step, wanted, version],
  queryFn: async ({ signal }: { signal: AbortSignal }): Promise<PlacedInstance | null> => {
    const query = { phase, ...wanted, limit: 1 }
    const { instances } = await ask<InstancePage>('GET', `${of(run, step)}/instances`, { query, signal })
    return instances[0] ?? null
  },
  staleTime: Number.POSITIVE_INFINITY,
})

/** All instances of a step at a glance. For `useQuery`. */
export const overviewQuery = (run: string, { step, phase }: AtStep, version: unknown) => ({
  queryKey: ['overview', run, phase, step, version],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    ask<StepOverview>('GET', `${of(run, step)}/overview`, { query: { phase }, signal }),
  staleTime: Number.POSITIVE_INFINITY,
})
