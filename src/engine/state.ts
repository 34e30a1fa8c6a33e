import type { StepInstance, StepPhase } from '../contract/events.ts'
import type { AttemptEnd, StreamName } from '../contract/attempt.ts'
import type { Reason, RunStatus, StepStatus } from '../contract/status.ts'
import type { Plan } from './plan.ts'
import type { Variables } from './variables.ts'

/** What folding a run's log gives. It belongs to whoever folds: `evolve` changes it in place. */
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
  cancel?: { force: boolean; by?: string; message?: string }
  timed_out: boolean
  vars: Variables
  main: StepState[]
  rollback: (StepState | undefined)[]
  finally: StepState[]
  /** Main steps before this position are all final. */
  first_open: number
  /** Positions of main steps in the order in which they ended. */
  finished_order: number[]
  /** The attempt with number n is at n - 1. */
  attempts: AttemptState[]
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
}

export interface InstanceState extends StepInstance {
  status: StepStatus
  reason?: Reason
  message?: string
  exit_code?: number
  duration_ms?: number
  exports?: Record<string, string>
  /** Numbers of its attempts, oldest first. */
  attempts: number[]
  /** Milliseconds since 1970; set while it waits for its next try. */
  retry_at?: number
  approval?: { message: string; expires_at?: string }
  child?: string
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
  epoch: number
  waiting?: string
  started: boolean
  cancel?: Reason
  /** Output bytes that the log tells of. */
  streams: Partial<Record<StreamName, number>>
  end?: Pick<AttemptEnd, 'outcome' | 'streams' | 'output_files'>
}

export function initialState(plan: Plan): RunState {
  const fresh = (phase: StepPhase, name: string): StepState => ({ phase, name, status: 'queued', instances: [] })
  return {
    status: 'queued',
    seq: 0,
    created_at: '',
    timed_out: false,
    vars: new Map(),
    main: plan.main.map(({ step }) => fresh('main', step.name)),
    rollback: plan.rollback.map((planned) => planned && fresh('rollback', planned.step.name)),
    finally: plan.finally.map(({ step }) => fresh('finally', step.name)),
    first_open: 0,
    finished_order: [],
    attempts: [],
  }
}
