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

/** Describes how a run's route is drawn: one letter for each main step, or counts if there are many. */
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
/** A place in a run that asks a person. */
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
export type RunDetail = RunView & Pick<Run, 'route' | 'now'>
export type Step = StepView
export type Instance = z.infer<typeof InstanceView>
export type { Problem }

export interface RunFilter {
  kind?: string
  status?: string
  user?: string
  workflow?: string
  /** `k=v` or `k`; several are separated by commas. */
  label?: string
  since?: string
  until?: string
  needs?: string
  latest?: string
  sort?: string
  agent?: string
  repository?: string
  /** Lists runs of others that are shared with this person, instead of their own. */
  shared?: string
  q?: string
  [input: `input.${string}`]: string | undefined
}

const hours: Record<string, number> = { '1h': 1, '24h': 24, '7d': 168, '30d': 720 }

/** Returns a filter in the form that the API takes. */
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

/** Lists a page of runs; unless the filter has an order, active runs come first. */
export const listRuns = (filter: RunFilter, cursor?: string, signal?: AbortSignal): Promise<RunPage> =>
  ask('GET', '/api/runs', {
    query: { sort: 'active', ...filterQuery(filter), limit: 100, cursor } as Query,
    signal,
  })
export const countRuns = (filter: RunFilter, signal?: AbortSignal): Promise<RunCounts> =>
  ask('GET', '/api/run-counts', { query: filterQuery(filter) as Query, signal })

/** The runs to change: these, or all that match a filter. */
export type Chosen = { ids: string[] } | { all: RunFilter; expect: RunCounts['by_status'] }

export function changeRuns(action: 'cancel' | 'retry', chosen: Chosen, idempotencyKey: string) {
  const which: Partial<BulkRunsInput> =
    'ids' in chosen ? { ids: chosen.ids } : { filter: filterQuery(chosen.all), expect: chosen.expect }
  return ask<BulkDone>('POST', '/api/runs/bulk', { body: { action, ...which }, idempotencyKey })
}

const of = (id: string) => `/api/runs/${encodeURIComponent(id)}`
/**
 * Reads a run with the first instances of each step. Leaves out on-demand steps that were not needed, since nobody
 * looks for them.
 */
export async function getRun(id: string, signal?: AbortSignal): Promise<RunDetail> {
  const run = await ask<RunDetail>('GET', of(id), { query: { instances: FIRST_INSTANCES }, signal })
  const isShown = ({ on_demand, status }: Step) => !on_demand || (status !== 'queued' && status !== 'skipped')
  return { ...run, steps: run.steps.filter(isShown) }
}
/** Resumes a run that is set aside; admins only. */
export const resumeRun = (id: string) => ask<Run>('POST', `${of(id)}/resume`, { body: {} })

/** A run as its page shows it; a `RunFeed` reads it again when it changes. For `useQuery`. */
export const runQuery = (id: string) => ({
  queryKey: ['run', id],
  queryFn: ({ signal }: { signal: AbortSignal }) => getRun(id, signal),
  staleTime: Number.POSITIVE_INFINITY,
})
/** Reads the first thousand events of an attempt, without the text of its output. */
export const eventsOfAttempt = (id: string, attempt: number, signal?: AbortSignal) =>
  ask<RunEvent[]>('GET', `${of(id)}/events`, { query: { attempt, output_bytes: 0, limit: 1000 }, signal })
export const getWorkflow = (id: string, signal?: AbortSignal) =>
  ask<RunWorkflow>('GET', `${of(id)}/workflow`, { signal })
/** The steps that a run was created with. For `useQuery`. */
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
/** Checks a workflow; also reports problems with the values of its variables. */
export const validate = (yaml: string, vars: Record<string, string>, signal?: AbortSignal) =>
  ask<ValidateAnswer>('POST', '/api/validate', { body: { yaml, vars }, signal })
export const createRun = (
  body: { yaml: string; vars: Record<string, string>; repository?: string | undefined },
  idempotencyKey: string,
) => ask<Run>('POST', '/api/runs', { body, idempotencyKey })

/** Returns the path of one output's bytes. */
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

/**
 * Returns the name of an asking place for an address. All instances of an approval are answered at once and share it.
 */
export const askingName = ({ kind, step, host, instance }: AskingPlace): string =>
  kind === 'approval' || host === undefined
    ? step
    : `${step}@${host}${instance === undefined ? '' : `!${instance}`}`

/**
 * Returns the label of an asking place: `mend on web-1`, with its number if another instance of the step has the same
 * host.
 */
export function askingWord(place: AskingPlace, all: readonly AskingPlace[]): string {
  const { kind, step, host, instance } = place
  if (kind === 'approval' || host === undefined || instance === undefined) return step
  const isOnly = all.every((one) => one === place || one.step !== step || one.host !== host)
  return `${step} on ${host}${isOnly ? '' : `, ${instance + 1}`}`
}

/** Returns the route that the hub sent, or derives it from the run's steps. */
export function routeOf(run: Pick<RunDetail, 'route' | 'steps'>): Route {
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
