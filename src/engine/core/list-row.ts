import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import type { RunListRow, RunRoute } from '../../contract/run.ts'
import { jsonOf } from '../../platform/text.ts'
import type { InstanceState, OpenPermission, RunState, StepState } from './state.ts'
import { waitsView } from './work.ts'

/**
 * Most main steps that a row shows one by one; with more it counts them. With more instances than this in one step, it
 * counts all instances.
 */
const MOST_STOPS = 12
const MOST_TEXT = 200
/** Most further questions of a run that a row names. */
const MOST_PLACES = 3

/**
 * Returns a run's row in lists, which is stored alongside its log so that no list has to fold one. Undefined when the
 * run has not begun.
 */
export function listRow(state: RunState): RunListRow | undefined {
  if (state.seq === 0) return undefined
  const { waiting_since } = waitsView(state.work)
  const row: RunListRow = { route: routeOf(state), now: nowOf(state), waiting_since }
  if (state.session !== undefined) {
    const { saying: _, ...session } = state.session
    row.session = session
  }
  return row
}

/**
 * Folds what a list shows of a session. A message counts once it is complete, so that a row does not change with each
 * piece of it.
 */
export function foldSession(state: RunState, update: AgentUpdate): void {
  if (update.kind === 'session') {
    const { agent, model = state.session?.model } = update
    state.session = { ...state.session, agent, model }
    return
  }
  const { session } = state
  if (session === undefined) return
  if (update.kind === 'model' && update.refused === undefined) session.model = update.model
  if (update.kind === 'message') {
    if ((session.saying?.length ?? 0) < MOST_TEXT * 2)
      session.saying = ((session.saying ?? '') + update.text.slice(0, MOST_TEXT * 4)).trimStart()
    return
  }
  if (session.saying) session.last_words = cut(session.saying.replace(/\s+/g, ' ').trim())
  session.saying = undefined
  if (update.kind !== 'usage') return
  const { input_tokens, cached_input_tokens, output_tokens, cost_usd } = update.session
  session.tokens = input_tokens + cached_input_tokens + output_tokens
  session.cost_usd = cost_usd
}

function routeOf(state: RunState): RunRoute {
  const main = state.main.filter(
    ({ on_demand, status }) => !on_demand || !['queued', 'skipped'].includes(status),
  )
  const stops = main.map(stopOf)
  const isMany = main.some(({ instances }) => instances.length > MOST_STOPS)
  if (!isMany && stops.length <= MOST_STOPS) return { stops: stops.join('') }
  const counts: Partial<Record<Stop, number>> = {}
  for (const [index, stop] of stops.entries()) {
    const step = main[index]!
    const parts = isMany && step.instances.length > 1 ? instanceStops(step) : { [stop]: 1 }
    for (const [each, count = 0] of Object.entries(parts))
      counts[each as Stop] = (counts[each as Stop] ?? 0) + count
  }
  return { counts: countsOf(counts) }
}

const names = {
  d: 'succeeded',
  f: 'failed',
  r: 'running',
  w: 'waiting',
  q: 'asks',
  i: 'interrupted',
  c: 'canceled',
  k: 'skipped',
  a: 'ahead',
} as const
type Stop = keyof typeof names

const ends = {
  success: 'd',
  failed: 'f',
  interrupted: 'i',
  canceled: 'c',
  skipped: 'k',
  queued: 'a',
} as const

function stopOf({ status, work: { works, waits, asks } }: StepState): Stop {
  if (status !== 'running' && status !== 'waiting') return ends[status]
  return asks > 0 ? 'q' : works > 0 || waits === 0 ? 'r' : 'w'
}

/**
 * Yields the places in a step where a person is asked. An approval comes once, since all of its instances are answered
 * together.
 */
function* asking(step: StepState): Generator<{ instance: InstanceState; index: number }> {
  if (step.work.asks === 0) return
  for (const [index, instance] of step.instances.entries()) {
    if (instance.activity !== 'asks') continue
    yield { instance, index }
    if (instance.approval !== undefined) return
  }
}

function firstQuestion(
  { attempts: own }: StepState['instances'][number],
  { attempts }: RunState,
): OpenPermission & { attempt?: number } {
  const attempt = own.at(-1)!
  const [first] = attempts[attempt - 1]!.talk!.questions.values()
  return first!.request_id === undefined ? first! : { ...first!, attempt }
}

/**
 * Returns a question as a list shows it. It can be answered there (by its `request_id`) only when the row shows all of
 * it.
 */
export function openPermission(update: AgentUpdateOf<'permission'>): OpenPermission {
  const { request_id, title, input = '', paths = [], expires_at } = update
  const { command, description, ...others } = commandIn(input)
  if (command === undefined) {
    const text = cut((title || input || 'The agent asks for permission.').trim())
    return expires_at === undefined ? { text } : { text, expires_at }
  }
  const [path] = paths
  const folder = path === undefined || /\/runs\/run_\w+$/.test(path) ? undefined : path
  const isAll =
    Object.keys(others).length === 0 &&
    // Other text in a title, such as a reason, is not part of the command.
    (title === description || title.replace(command, '').length <= 4) &&
    paths.length <= 1 &&
    command.length + (folder?.length ?? 0) <= MOST_TEXT
  return {
    text: cut(command),
    ...(isAll && { request_id }),
    ...(isAll && folder !== undefined && { folder }),
    ...(expires_at !== undefined && { expires_at }),
  }
}

/** Parses the arguments of a tool that runs a command; empty for another tool, or when the arguments were cut. */
function commandIn(input: string): { command?: string; description?: unknown } {
  const parsed = jsonOf(input) as { command?: unknown; description?: unknown } | null | undefined
  return typeof parsed?.command === 'string' ? { ...parsed, command: parsed.command } : {}
}

function instanceStops({ tally, work }: StepState): Partial<Record<Stop, number>> {
  const { running: _, waiting: __, ...rest } = tally
  const ended = Object.entries(rest).map(([status, count]) => [ends[status as keyof typeof ends], count])
  return { ...Object.fromEntries(ended), r: work.works, w: work.waits, q: work.asks }
}

const countsOf = (counts: Partial<Record<Stop, number>>): RunRoute['counts'] =>
  Object.fromEntries(
    Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([stop, count]) => [names[stop as Stop], count]),
  )

function nowOf(state: RunState): RunListRow['now'] {
  const steps = [...state.main, ...state.rollback, ...state.finally].filter((step) => step !== undefined)
  const open = steps.filter(({ status }) => status === 'running' || status === 'waiting')
  const last = latest(open)
  const now: NonNullable<RunListRow['now']> = {}
  if (last !== undefined) {
    now.step = last.name
    const { instances, tally } = last
    if (instances.length === 1) now.host = instances[0]!.host
    if (instances.length > 1) {
      const { success = 0, failed = 0, interrupted = 0 } = tally
      now.instances = { done: success, failed: failed + interrupted, all: instances.length }
    }
  }
  for (const step of open)
    for (const { instance, index } of asking(step)) {
      const { host, approval } = instance
      const kind = approval === undefined ? ('agent' as const) : ('approval' as const)
      const place = { kind, step: step.name, host, ...(step.instances.length > 1 && { instance: index }) }
      if (now.question === undefined)
        now.question = {
          ...place,
          ...(approval === undefined
            ? firstQuestion(instance, state)
            : {
                text: cut(approval.message),
                expires_at: approval.expires_at,
                on_timeout: approval.on_timeout,
                approvers: approval.approvers,
              }),
        }
      else {
        now.asked_too ??= { count: 0, places: [] }
        if (++now.asked_too.count <= MOST_PLACES) now.asked_too.places.push(place)
      }
    }
  if (state.status !== 'success') now.failure = failureOf(steps)
  return Object.values(now).every((value) => value === undefined) ? undefined : now
}

/** Returns the step that began last; of equal ones the later in the file. */
function latest(steps: readonly StepState[]): StepState | undefined {
  let found: StepState | undefined
  for (const step of steps)
    if (found === undefined || (step.started_at ?? '') >= (found.started_at ?? '')) found = step
  return found
}

/** Returns the failure of the step that began first, among those that failed. */
function failureOf(steps: readonly StepState[]): NonNullable<RunListRow['now']>['failure'] {
  let first: StepState | undefined
  for (const step of steps) {
    const { status, tally } = step
    const failed = status === 'failed' || status === 'interrupted' || tally.failed || tally.interrupted
    if (failed && (first === undefined || (step.started_at ?? '') < (first.started_at ?? ''))) first = step
  }
  if (first === undefined) return undefined
  const instance = first.instances.find(({ status }) => status === 'failed' || status === 'interrupted')
  const { reason, message } = instance?.reason === undefined ? first : instance
  const { host, exit_code } = instance ?? {}
  const last_error_line = instance?.last_error_line && cut(instance.last_error_line)
  return { step: first.name, host, reason, message: cut(message ?? ''), exit_code, last_error_line }
}

/** Cuts a text without leaving half a character at its end. */
const cut = (text: string): string =>
  text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT - 1).replace(/[\ud800-\udbff]$/, '')}…`
