import type { AgentModel, AttemptInput } from '../../contract/agent.ts'
import type { Approvers, GivenAnswer } from '../../contract/approvers.ts'
import type { AttachmentKind } from '../../contract/attachment-kind.ts'
import type { AttemptEnd, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, StepInstance, StepPhase } from '../../contract/events.ts'
import type { Isolation, MadeBox, Network } from '../../contract/isolation.ts'
import type { RunListRow } from '../../contract/run.ts'
import type { Share, UnshareRun } from '../../contract/runs/shares.ts'
import type { TakenSecrets } from '../../contract/secrets.ts'
import type { Reason, RunStatus, StepStatus } from '../../contract/status.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { PullRequestState, TestFigures } from '../../contract/tasks/task-facts.ts'
import type { Plan, PlannedStep } from './plan.ts'
import { noWork, type Stand, type Work } from './work.ts'

/** The state that folding a run's log gives. It belongs to whoever folds: `evolve` changes it in place. */
export interface RunState {
  status: RunStatus
  seq: number
  created_at: string
  started_at?: string
  finished_at?: string
  reason?: Reason
  message?: string
  outputs?: Record<string, string>
  waiting?: string
  /** `late`: how the main steps end was settled before it came. */
  cancel?: { force: boolean; late: boolean; by?: string; message?: string }
  timed_out: boolean
  /** The time in which a person was asked: how many questions are open, since when any is, and how long any was before. */
  asked: { open: number; since_ms: number; before_ms: number }
  /** The time that it has waited since its creation. */
  work: Work
  vars: Variables
  main: StepState[]
  rollback: (StepState | undefined)[]
  finally: StepState[]
  /** Position of each step in its list, by name. */
  positions: Record<StepPhase, ReadonlyMap<string, number>>
  /** Main steps before this position are all final. */
  first_open: number
  /** Positions of main steps that are not final, but all that they need is. */
  ready: Set<number>
  /** Positions of main steps in the order in which they ended. */
  finished_order: number[]
  /** The attempt with number n is at n - 1. */
  attempts: AttemptState[]
  /** Numbers of the attempts that wait to be placed. */
  unplaced: Set<number>
  /** The latest session with an agent, for lists; `saying`: how the message begins that may go on. */
  session?: NonNullable<RunListRow['session']> & { saying?: string }
  /** With whom it is shared; another array after each change. */
  shares?: readonly Share[]
  /** How many refused hosts its attempts hold together. */
  refused_hosts: number
}

export interface StepState {
  phase: StepPhase
  name: string
  status: StepStatus
  reason?: Reason
  message?: string
  started_at?: string
  finished_at?: string
  instances: InstanceState[]
  /** How many instances have a status; kept, so that a step with thousands of them need not be counted each time. */
  tally: Partial<Record<StepStatus, number>>
  /** The time that it has waited since its start. */
  work: Work
  /** Instances before this position are all final. */
  first_open: number
  /** Main steps only: how many of its needs are not final, and the positions of the steps that need it. */
  open_needs: number
  /** Where it does not run it is not shown. */
  on_demand: boolean
  /** Its attempts take inputs. */
  inputs: boolean
  dependents: readonly number[]
}

export interface InstanceState extends Omit<StepInstance, 'ended'> {
  status: StepStatus
  reason?: Reason
  message?: string
  exit_code?: number
  last_error_line?: string
  duration_ms?: number
  exports?: Record<string, string>
  /** Numbers of its attempts, oldest first. */
  attempts: number[]
  /** The stand of it after the last event. */
  stand?: Stand
  waited_ms?: number
  waiting_since_ms?: number
  /** Milliseconds since 1970; set while it waits for its next try. */
  retry_at?: number
  approval?: {
    message: string
    expires_at?: string
    on_timeout?: 'approve' | 'reject'
    comment_as?: string
    approvers?: Approvers
  }
  /** The answer to its approval. */
  answered?: GivenAnswer
}

export interface AttemptState {
  number: number
  phase: StepPhase
  step: string
  /** Position of the step in its phase's list. */
  index: number
  instance: number
  host: string
  try: number
  runner?: string
  storage_id?: string
  epoch: number
  /** The demands of the group of its runner, as they were when it was placed there. */
  of_group?: { isolation?: Isolation; network?: Network }
  waiting?: string
  started: boolean
  /** When it was made, when its machine had begun it last, and its end: milliseconds since 1970. */
  created_ms: number
  started_ms?: number
  ended_ms?: number
  /** The isolation and network that it said it got, or what was made for its run. */
  got?: { isolation?: Isolation; made_box?: MadeBox; network?: Network }
  /** Hosts that it was refused, each once. */
  refused?: { host: string; port?: number; why: string; count: number }[]
  /** The facts of a coding task that it told. */
  facts?: AttemptFacts
  /** How many reports of its present epoch the log has. */
  reports: number
  cancel?: Reason
  cancel_message?: string
  /** The last phase it reported, and how often that was `restarting` after a failure. */
  at?: { name: string; message?: string; reason?: Reason; since: string }
  restarts?: number
  /** Which it was given, where its hub keeps them. */
  secrets?: TakenSecrets
  /** Output bytes that the log tells of. */
  streams: Partial<Record<StreamName, number>>
  end?: Pick<AttemptEnd, 'outcome' | 'streams' | 'output_files' | 'usage' | 'denied'>
  /** Set where it takes inputs. */
  talk?: Talk
  /** Prompts that came too late for it, and the run that goes on with them. */
  late?: { input_id: string; run_id?: string }[]
}

/** Facts of a coding task, each as it was told last; artifacts all, in order. */
export interface AttemptFacts {
  artifacts?: Artifact[]
  pushed?: Omit<EventOf<'git.pushed'>, 'seq' | 'time' | 'type' | 'attempt'>
  pull_request?: PullRequestState
  tests?: TestFigures[]
}

/** An agent's question, as a list says it. */
export type AskedPermission = Pick<
  NonNullable<NonNullable<RunListRow['now']>['question']>,
  'text' | 'request_id' | 'folder' | 'expires_at'
>

/** The talk between people and an attempt that takes inputs. */
export interface Talk {
  /** Ids of all inputs given. */
  given: Set<string>
  /** Given, and not taken yet. */
  untaken: AttemptInput[]
  /** Permission requests that nobody has answered, by their ids, as a list says them. */
  questions: Map<string, AskedPermission>
  /** Of those, the ones that may be allowed with another input. */
  editable: Set<string>
  /** The agent's own words of what it can do; undefined: none yet. */
  agent?: { takes: readonly AttachmentKind[]; models: readonly AgentModel[] }
  /** No more prompts are to come. */
  closed: boolean
}

/** How many bytes of its output are kept. */
export function keptBytes({ end, streams }: AttemptState): number {
  const { stdout, stderr } = end?.streams ?? {}
  return (stdout?.length ?? streams.stdout ?? 0) + (stderr?.length ?? streams.stderr ?? 0)
}

export function initialState(plan: Plan): RunState {
  const main = plan.main.map((planned) => fresh(planned))
  const undo = plan.rollback.map((planned) => planned && fresh(planned))
  const last = plan.finally.map((planned) => fresh(planned))
  return {
    status: 'queued',
    seq: 0,
    created_at: '',
    timed_out: false,
    asked: { open: 0, since_ms: 0, before_ms: 0 },
    work: noWork(),
    vars: new Map(),
    main,
    rollback: undo,
    finally: last,
    positions: { main: positionsOf(main), rollback: positionsOf(undo), finally: positionsOf(last) },
    first_open: 0,
    ready: new Set(plan.main.flatMap(({ index, needs }) => (needs.length === 0 ? [index] : []))),
    finished_order: [],
    attempts: [],
    unplaced: new Set(),
    refused_hosts: 0,
  }
}

const fresh = ({ phase, step, needs, dependents, inputs }: PlannedStep): StepState => ({
  phase,
  name: step.name,
  status: 'queued',
  instances: [],
  tally: {},
  work: noWork(),
  first_open: 0,
  open_needs: needs.length,
  on_demand: step.on_demand === true,
  inputs,
  dependents,
})

const positionsOf = (steps: readonly (StepState | undefined)[]) =>
  new Map(steps.flatMap((step, index) => (step ? [[step.name, index] as const] : [])))

/** Returns what an event speaks of. Each throws where the state has no such thing: then the log is not this run's. */
export function stepOf(state: RunState, phase: StepPhase, name: string): StepState {
  const step = state[phase][state.positions[phase].get(name) ?? -1]
  if (!step)
    throw new ErrandError(
      'internal',
      `The event log names step "${name}" (${phase}), which the workflow has not.`,
    )
  return step
}

export function instanceOf(
  state: RunState,
  at: { phase: StepPhase; step: string; instance: number },
): { step: StepState; instance: InstanceState } {
  const step = stepOf(state, at.phase, at.step)
  const instance = step.instances[at.instance]
  if (!instance)
    throw new ErrandError('internal', `The event log names instance ${at.instance} of step "${at.step}".`)
  return { step, instance }
}

export function attemptOf(state: RunState, number: number): AttemptState {
  const attempt = state.attempts[number - 1]
  if (!attempt)
    throw new ErrandError('internal', `The event log names attempt ${number}, which was never created.`)
  return attempt
}

/**
 * Variables of a run. A step that exports one replaces it whole: `value` is its last instance's, `hosts` each
 * host's own, which later steps on that host see.
 */
interface Variable {
  value: string
  hosts?: Record<string, string>
}
type Variables = Map<string, Variable>

export function setVariables(variables: Variables, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) variables.set(name, { value })
}

/** Takes over what a step's instances exported, in their order, so that the outcome does not hang on timing. */
export function mergeExports(variables: Variables, instances: readonly InstanceState[]): void {
  const merged: Variables = new Map()
  for (const { host, exports } of instances)
    for (const [name, value] of Object.entries(exports ?? {}))
      merged.set(name, { value, hosts: { ...merged.get(name)?.hosts, [host]: value } })
  for (const [name, variable] of merged) variables.set(name, variable)
}

/** A variable's value as a host sees it. */
export const valueOn = ({ value, hosts }: Variable, host: string): string =>
  hosts && Object.hasOwn(hosts, host) ? hosts[host]! : value

/** All variables as a host sees them. */
export function variablesOn(variables: Variables, host: string): Record<string, string> {
  const seen: Record<string, string> = {}
  for (const [name, variable] of variables) seen[name] = valueOn(variable, host)
  return seen
}

/** Whether two name the same user or role. */
export const isSameShare = (a: UnshareRun, b: UnshareRun): boolean => a.user === b.user && a.role === b.role
