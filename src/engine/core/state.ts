import type { AgentModel, AttemptInput } from '../../contract/agent.ts'
import type { Approvers, RecordedAnswer } from '../../contract/approvers.ts'
import type { AttachmentKind } from '../../contract/attachment-kind.ts'
import type { AttemptEnd, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, StepInstance, StepPhase } from '../../contract/events.ts'
import type { Isolation, Network, ProvisionedBox } from '../../contract/isolation.ts'
import type { RunListRow } from '../../contract/run.ts'
import type { Share, UnshareRun } from '../../contract/runs/shares.ts'
import type { TakenSecrets } from '../../contract/secrets.ts'
import type { Reason, RunStatus, StepStatus } from '../../contract/status.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { PullRequestState, TestFigures } from '../../contract/tasks/task-facts.ts'
import type { Plan, PlannedStep } from './plan.ts'
import { type InstanceActivity, noWork, type Work } from './work.ts'

/** The state that results from folding a run's log. It belongs to whoever folds: `evolve` changes it in place. */
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
  /** `late`: the outcome of the main steps was settled before the cancel. */
  cancel?: { force: boolean; late: boolean; by?: string; message?: string }
  timed_out: boolean
  /**
   * The time in which a person was asked: the number of open questions, since when there are any, and the duration of
   * earlier ones.
   */
  asked: { open: number; since_ms: number; before_ms: number }
  /** The time that the run has waited since its creation. */
  work: Work
  vars: Variables
  main: StepState[]
  rollback: (StepState | undefined)[]
  finally: StepState[]
  /** Position of each step in its list, by name. */
  positions: Record<StepPhase, ReadonlyMap<string, number>>
  /** Main steps before this position are all final. */
  first_open: number
  /** Positions of main steps that are not final while all that they need is. */
  ready: Set<number>
  /** Positions of main steps in the order in which they ended. */
  finished_order: number[]
  /** Attempt number n is at index n - 1. */
  attempts: AttemptState[]
  /** Numbers of the attempts that wait to be placed. */
  unplaced: Set<number>
  /** The latest session with an agent, for lists; `saying`: the beginning of a message that may continue. */
  session?: NonNullable<RunListRow['session']> & { saying?: string }
  /** The people with whom the run is shared; a new array after each change. */
  shares?: readonly Share[]
  /** Number of refused hosts that all attempts store together. */
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
  /** Number of instances by status, updated along the way so that a step with thousands of them need not be counted. */
  tally: Partial<Record<StepStatus, number>>
  /** The time that the step has waited since its start. */
  work: Work
  /** Instances before this position are all final. */
  first_open: number
  /** Main steps only: the number of its needs that are not final, and the positions of the steps that need it. */
  open_needs: number
  /** When true, the step is hidden unless it runs. */
  on_demand: boolean
  /** Whether its attempts take inputs. */
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
  /** The activity of the instance after the last event. */
  activity?: InstanceActivity
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
  answered?: RecordedAnswer
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
  /** The requirements of its runner's group when it was placed there. */
  of_group?: { isolation?: Isolation; network?: Network }
  waiting?: string
  started: boolean
  /** Milliseconds since 1970 of its creation, of the last time a machine began it, and of its end. */
  created_ms: number
  started_ms?: number
  ended_ms?: number
  /** The isolation and network that it reported, or that its provisioned runner has. */
  got?: { isolation?: Isolation; made_box?: ProvisionedBox; network?: Network }
  /** Hosts that it was refused, each once. */
  refused?: { host: string; port?: number; why: string; count: number }[]
  /** The facts of a coding task that it reported. */
  facts?: AttemptFacts
  /** Number of reports of its present epoch in the log. */
  reports: number
  cancel?: Reason
  cancel_message?: string
  /** The last phase it reported, and how often that was `restarting` after a failure. */
  at?: { name: string; message?: string; reason?: Reason; since: string }
  restarts?: number
  /** The secrets that it was given, if its hub stores them. */
  secrets?: TakenSecrets
  /** Output bytes that the log covers. */
  streams: Partial<Record<StreamName, number>>
  end?: Pick<AttemptEnd, 'outcome' | 'streams' | 'output_files' | 'usage' | 'denied'>
  /** Set when it takes inputs. */
  talk?: Talk
  /** Prompts that came too late for it, and the run that continues with them. */
  late?: { input_id: string; run_id?: string }[]
}

/** Facts of a coding task: the latest report of each, but all artifacts, in order. */
export interface AttemptFacts {
  artifacts?: Artifact[]
  pushed?: Omit<EventOf<'git.pushed'>, 'seq' | 'time' | 'type' | 'attempt'>
  pull_request?: PullRequestState
  tests?: TestFigures[]
}

/** An agent's question, as a list shows it. */
export type OpenPermission = Pick<
  NonNullable<NonNullable<RunListRow['now']>['question']>,
  'text' | 'request_id' | 'folder' | 'expires_at'
>

/** The talk between people and an attempt that takes inputs. */
export interface Talk {
  /** Ids of all inputs given. */
  given: Set<string>
  /** Inputs that were given and not taken yet. */
  untaken: AttemptInput[]
  /** Unanswered permission requests by their ids, as a list shows them. */
  questions: Map<string, OpenPermission>
  /** Ids of the questions that may be allowed with an edited input. */
  editable: Set<string>
  /** The agent's own report of what it accepts; undefined until it comes. */
  agent?: { takes: readonly AttachmentKind[]; models: readonly AgentModel[] }
  /** True when no more prompts can come. */
  closed: boolean
}

/** Returns how many bytes of its output are stored. */
export function storedBytes({ end, streams }: AttemptState): number {
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

/**
 * Returns the step that an event names. Like the functions below, throws when the state has no such thing: then the log
 * is not this run's.
 */
export function stepOf(state: RunState, phase: StepPhase, name: string): StepState {
  const step = state[phase][state.positions[phase].get(name) ?? -1]
  if (!step)
    throw new ErrandError(
      'internal',
      `The event log names step "${name}" (${phase}), which is not in the workflow.`,
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
    throw new ErrandError(
      'internal',
      `The event log names instance ${at.instance} of step "${at.step}", which does not exist.`,
    )
  return { step, instance }
}

export function attemptOf(state: RunState, number: number): AttemptState {
  const attempt = state.attempts[number - 1]
  if (!attempt)
    throw new ErrandError('internal', `The event log names attempt ${number}, which was never created.`)
  return attempt
}

/**
 * A variable of a run. A step that exports it replaces it entirely: `value` comes from its last instance, `hosts` has
 * each host's own value, which later steps on that host see.
 */
interface Variable {
  value: string
  hosts?: Record<string, string>
}
type Variables = Map<string, Variable>

export function setVariables(variables: Variables, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) variables.set(name, { value })
}

/**
 * Merges what a step's instances exported, in the order of the instances, so that the outcome does not depend on
 * timing.
 */
export function mergeExports(variables: Variables, instances: readonly InstanceState[]): void {
  const merged: Variables = new Map()
  for (const { host, exports } of instances)
    for (const [name, value] of Object.entries(exports ?? {}))
      merged.set(name, { value, hosts: { ...merged.get(name)?.hosts, [host]: value } })
  for (const [name, variable] of merged) variables.set(name, variable)
}

/** Returns a variable's value as a host sees it. */
export const valueOn = ({ value, hosts }: Variable, host: string): string =>
  hosts && Object.hasOwn(hosts, host) ? hosts[host]! : value

/** Returns all variables as a host sees them. */
export function variablesOn(variables: Variables, host: string): Record<string, string> {
  const seen: Record<string, string> = {}
  for (const [name, variable] of variables) seen[name] = valueOn(variable, host)
  return seen
}

/** Reports whether two shares name the same user or role. */
export const isSameShare = (a: UnshareRun, b: UnshareRun): boolean => a.user === b.user && a.role === b.role
