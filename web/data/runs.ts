import type * as z from 'zod'
import type { Approvers } from '../../src/contract/approvers.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import type { InstanceView, RunSort, RunSummary, RunView, StepView } from '../../src/contract/run.ts'
import type {
  ListRunsInput,
  Problem,
  RunList,
  RunWorkflow,
  ValidateAnswer,
} from '../../src/contract/run-api.ts'
import type { BulkDone, BulkRunsInput, RunCounts } from '../../src/contract/runs/run-lists.ts'
import type { RunOutline } from '../../src/contract/runs/run-parts.ts'
import { ask, type Query } from './api.ts'
import { FIRST_INSTANCES } from './instances.ts'
import { type Shown, shownStep } from './shown.ts'

export { type Shown, shownStatus, shownStep } from './shown.ts'

/** How a run's route is drawn: a letter a main step, or counts where there are many. */
export interface Route {
  stops?: string
  counts?: Partial<
    Record<
      | 'succeeded'
      | 'failed'
      | 'running'
      | 'waiting'
      | 'asks'
      | 'interrupted'
      | 'canceled'
      | 'skipped'
      | 'ahead',
      number
    >
  >
}
/** Where a person is asked. */
export interface AskingPlace {
  kind: 'approval' | 'agent'
  step: string
  host?: string
  instance?: number
}
export interface Question extends AskingPlace {
  text: string
  expires_at?: string
  approvers?: Approvers
  on_timeout?: 'approve' | 'reject'
}
/** A run as a list shows it. */
export type Run = RunSummary & {
  route?: Route
  now?: {
    step?: string
    host?: string
    question?: Question
    asked_too?: { count: number; places: readonly AskingPlace[] }
    failure?: {
      step: string
      host?: string
      reason: string
      message: string
      exit_code?: number
      last_error_line?: string
    }
  }
}
export type RunPage = Omit<RunList, 'runs'> & { runs: Run[] }
export type WholeRun = RunView & Pick<Run, 'route' | 'now'>
export type Step = StepView
export type Instance = z.infer<typeof InstanceView>
export type { Problem }

export interface RunFilter {
  kind?: string
  status?: string
  user?: string
  workflow?: string
  /** `k=v` or `k`, several with commas. */
  label?: string
  since?: string
  until?: string
  needs?: string
  latest?: string
  sort?: string
  agent?: string
  repository?: string
  /** Runs of others, that are shared with this person, in place of their own. */
  shared?: string
  q?: string
  [input: `input.${string}`]: string | undefined
}

const hours: Record<string, number> = { '1h': 1, '24h': 24, '7d': 168, '30d': 720 }

/** A filter as the API takes it. */
function filterQuery(filter: RunFilter): Omit<ListRunsInput, 'limit' | 'cursor'> {
  const since = filter.since === undefined ? undefined : hours[filter.since]
  const inputs = Object.entries(filter).flatMap(([name, value]) =>
    name.startsWith('input.') && value ? [`${name.slice('input.'.length)}=${value}`] : [],
  )
  return {
    blueprint: filter.kind,
    status: filter.status,
    owner: filter.user,
    workflow_name: filter.workflow,
    created_after:
      since === undefined ? filter.since : new Date(Date.now() - since * 3_600_000).toISOString(),
    created_before: filter.until,
    needs: filter.needs === undefined ? undefined : 'me',
    input: inputs.length > 0 ? inputs : undefined,
    label: filter.label?.split(','),
    latest: filter.latest === undefined ? undefined : 'true',
    ...(filter.sort !== undefined && { sort: filter.sort as RunSort }),
    agent: filter.agent,
    repository: filter.repository,
    shared: filter.shared && 'true',
    text: filter.q,
  }
}

/** A page of runs; without an order those that go on are first. */
export const listRuns = (filter: RunFilter, cursor?: string, signal?: AbortSignal): Promise<RunPage> =>
  ask('GET', '/api/runs', {
    query: { sort: 'active', ...filterQuery(filter), limit: 100, cursor } as Query,
    signal,
  })
export const countRuns = (filter: RunFilter, signal?: AbortSignal): Promise<RunCounts> =>
  ask('GET', '/api/run-counts', { query: filterQuery(filter) as Query, signal })

/** To these runs, or to all of a filter. */
export type Chosen = { ids: string[] } | { all: RunFilter; expect: RunCounts['by_status'] }

export function changeRuns(action: 'cancel' | 'retry', chosen: Chosen, idempotencyKey: string) {
  const which: Partial<BulkRunsInput> =
    'ids' in chosen ? { ids: chosen.ids } : { filter: filterQuery(chosen.all), expect: chosen.expect }
  return ask<BulkDone>('POST', '/api/runs/bulk', { body: { action, ...which }, idempotencyKey })
}

const of = (id: string) => `/api/runs/${encodeURIComponent(id)}`
/** With the first instances of each step, and without the steps that come only on demand and were not needed: nobody looks for them. */
export async function getRun(id: string, signal?: AbortSignal): Promise<WholeRun> {
  const run = await ask<WholeRun>('GET', of(id), { query: { instances: FIRST_INSTANCES }, signal })
  const isTold = ({ on_demand, status }: Step) => !on_demand || (status !== 'queued' && status !== 'skipped')
  return { ...run, steps: run.steps.filter(isTold) }
}
/** Goes on with a run that is set aside; for an admin. */
export const resumeRun = (id: string) => ask<Run>('POST', `${of(id)}/resume`, { body: {} })

/** A run as its page shows it; a `RunFeed` reads it again when it changes. For `useQuery`. */
export const runQuery = (id: string) => ({
  queryKey: ['run', id],
  queryFn: ({ signal }: { signal: AbortSignal }) => getRun(id, signal),
  staleTime: Number.POSITIVE_INFINITY,
})
/** The first thousand events of an attempt, without texts of its output. */
export const eventsOfAttempt = (id: string, attempt: number, signal?: AbortSignal) =>
  ask<RunEvent[]>('GET', `${of(id)}/events`, { query: { attempt, output_bytes: 0, limit: 1000 }, signal })
export const getWorkflow = (id: string, signal?: AbortSignal) =>
  ask<RunWorkflow>('GET', `${of(id)}/workflow`, { signal })
/** The steps that a run was made of. For `useQuery`. */
export const outlineQuery = (id: string) => ({
  queryKey: ['outline', id],
  queryFn: ({ signal }: { signal: AbortSignal }) => ask<RunOutline>('GET', `${of(id)}/outline`, { signal }),
  staleTime: Number.POSITIVE_INFINITY,
})
export const cancelRun = (id: string) => ask('POST', `${of(id)}/cancel`, { body: {} })
export const answerApproval = (
  id: string,
  answer: 'approve' | 'reject',
  step: string,
  comment?: string,
  idempotencyKey?: string,
) => ask('POST', `${of(id)}/${answer}`, { body: { step, ...(comment ? { comment } : {}) }, idempotencyKey })
/** With values: also what is wrong with them. */
export const validate = (yaml: string, vars: Record<string, string>, signal?: AbortSignal) =>
  ask<ValidateAnswer>('POST', '/api/validate', { body: { yaml, vars }, signal })
export const createRun = (
  body: { yaml: string; vars: Record<string, string>; repository?: string | undefined },
  idempotencyKey: string,
) => ask<Run>('POST', '/api/runs', { body, idempotencyKey })

/** Where the bytes of one output are. */
export const outputPath = (run: string, attempt: number, stream: string) =>
  `${of(run)}/attempts/${attempt}/output/${stream}`

const letters: Partial<Record<Shown, string>> = {
  success: 'd',
  failed: 'f',
  running: 'r',
  ahead: 'a',
  skipped: 'k',
  asks: 'q',
  room: 'w',
  waiting: 'w',
  interrupted: 'i',
  canceled: 'c',
}

/** The name of a place that asks, in an address; all instances of an approval are answered at once. */
export const askingName = ({ kind, step, host, instance }: AskingPlace): string =>
  kind === 'approval' || host === undefined
    ? step
    : `${step}@${host}${instance === undefined ? '' : `!${instance}`}`

/** The words for it: `mend on web-1`, with its number where another of the step has the same host. */
export function askingWord(place: AskingPlace, all: readonly AskingPlace[]): string {
  const { kind, step, host, instance } = place
  if (kind === 'approval' || host === undefined || instance === undefined) return step
  const isOnly = all.every((one) => one === place || one.step !== step || one.host !== host)
  return `${step} on ${host}${isOnly ? '' : `, ${instance + 1}`}`
}

/** The route of a run whose steps are at hand; the hub's own where it sent one. */
export function routeOf(run: Pick<WholeRun, 'route' | 'steps'>): Route {
  if (run.route !== undefined) return run.route
  const shown = run.steps.filter(({ phase }) => phase === 'main').map(shownStep)
  if (shown.length <= 12) return { stops: shown.map((one) => letters[one] ?? 'a').join('') }
  const count = (...which: Shown[]) => shown.filter((one) => which.includes(one)).length
  return {
    counts: {
      succeeded: count('success'),
      failed: count('failed'),
      running: count('running'),
      waiting: count('room', 'waiting'),
      asks: count('asks'),
      interrupted: count('interrupted'),
      canceled: count('canceled'),
      skipped: count('skipped'),
      ahead: count('ahead'),
    },
  }
}
