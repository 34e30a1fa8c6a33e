import type { InstancePage, StepOverview } from '../../src/contract/runs/run-parts.ts'
import { ask } from './api.ts'
import type { Instance, Step } from './runs.ts'

/** An instance with its position in the step. */
export type PlacedInstance = Instance & { index: number }

/** Number of instances that come with the run if a step has more; the failed ones come first. */
export const FIRST_INSTANCES = 20
/** Number of further instances per page. */
const PAGE = 100

type Status = Instance['status']
type AtStep = Pick<Step, 'step' | 'phase'>

/** Reports whether the run came with all instances of a step. */
export const isWhole = ({ counts }: Pick<Step, 'counts'>): boolean => counts === undefined

/** Returns how many instances of a step have each status, including those that did not come with the run. */
export function countsOf({ instances, counts }: Step): Partial<Record<Status, number>> {
  if (counts !== undefined) return counts
  const all: Partial<Record<Status, number>> = {}
  for (const { status } of instances) all[status] = (all[status] ?? 0) + 1
  return all
}

/** Counts the instances of a step that have one of these statuses, or all of its instances if none is given. */
export function countOf(step: Step, ...some: Status[]): number {
  const all = Object.entries(countsOf(step)) as [Status, number][]
  return all.reduce(
    (sum, [status, count]) => (some.length === 0 || some.includes(status) ? sum + count : sum),
    0,
  )
}

const of = (run: string, step: string) =>
  `/api/runs/${encodeURIComponent(run)}/steps/${encodeURIComponent(step)}`

interface InstanceSelection {
  status?: Status
  text?: string
  host?: string
  index?: number
}

/** Pages of the instances of a step; `version` changes with their content. For `useInfiniteQuery`. */
export const instancesQuery = (
  run: string,
  { step, phase }: AtStep,
  selection: InstanceSelection,
  version: unknown,
) => ({
  queryKey: ['instances', run, phase, step, selection, version],
  queryFn: ({ pageParam, signal }: { pageParam: string; signal: AbortSignal }) =>
    ask<InstancePage>('GET', `${of(run, step)}/instances`, {
      query: { phase, ...selection, limit: PAGE, cursor: pageParam },
      signal,
    }),
  initialPageParam: '',
  getNextPageParam: ({ next_cursor }: InstancePage) => next_cursor,
  staleTime: Number.POSITIVE_INFINITY,
})

/** The failed and interrupted instances of a step, of which there are `count`. For `fetchQuery`. */
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

/** The instance at a position, or the first one on a host; null if there is none. For `useQuery`. */
export const instanceQuery = (
  run: string,
  { step, phase }: AtStep,
  selection: Pick<InstanceSelection, 'host' | 'index'>,
  version: unknown,
) => ({
  queryKey: ['instance', run, phase, step, selection, version],
  queryFn: async ({ signal }: { signal: AbortSignal }): Promise<PlacedInstance | null> => {
    const query = { phase, ...selection, limit: 1 }
    const { instances } = await ask<InstancePage>('GET', `${of(run, step)}/instances`, { query, signal })
    return instances[0] ?? null
  },
  staleTime: Number.POSITIVE_INFINITY,
})

/** An overview of all instances of a step. For `useQuery`. */
export const overviewQuery = (run: string, { step, phase }: AtStep, version: unknown) => ({
  queryKey: ['overview', run, phase, step, version],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    ask<StepOverview>('GET', `${of(run, step)}/overview`, { query: { phase }, signal }),
  staleTime: Number.POSITIVE_INFINITY,
})
