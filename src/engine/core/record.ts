import { ApprovalArgs } from '../../contract/actions.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { NewEvent } from '../../contract/events.ts'
import { newRunId } from '../../contract/ids.ts'
import type { Placement } from '../ports.ts'
import { fillArgs } from '../workflow-file/template.ts'
import { attemptSpec } from './attempt-spec.ts'
import type { Intent } from './intents.ts'
import { failure, instanceEnv, type RunNames } from './lookup.ts'
import type { Plan, PlannedStep } from './plan.ts'
import type { RunState } from './state.ts'

export interface RecordFacts {
  plan: Plan
  state: RunState
  names: RunNames
  now: number
  place(spec: AttemptSpec): Placement | { waiting: string }
}

export interface Recorded {
  events: NewEvent[]
  /** Set when an attempt was created that a host has to start. */
  start?: { spec: AttemptSpec; placement: Placement | undefined }
}

/** Turns an intent into events. Only `wake` and `cancel_child` produce none. */
export function record(intent: Intent, facts: RecordFacts): Recorded {
  switch (intent.type) {
    case 'start_step':
      return one({ type: 'step.started', ...at(intent.planned), instances: intent.instances })
    case 'skip_step':
      return one({
        type: 'step.skipped',
        ...at(intent.planned),
        reason: intent.reason,
        message: intent.message,
        ...(intent.planned.step.on_demand && { on_demand: true as const }),
      })
    case 'fail_step': {
      const step = at(intent.planned)
      const { reason, message } = intent
      return {
        events: [
          { type: 'step.started', ...step, instances: [] },
          { type: 'step.finished', ...step, status: 'failed', reason, message },
        ],
      }
    }
    case 'finish_step': {
      const { status, reason, message } = intent
      return one({ type: 'step.finished', ...at(intent.planned), status, reason, message })
    }
    case 'start_attempt':
      return recordAttempt(intent, facts)
    case 'cancel_attempt':
      return one({ type: 'attempt.cancel_requested', attempt: intent.number, reason: intent.reason })
    case 'request_approval':
      return recordApproval(intent.planned, intent.instance, facts)
    case 'expire_approval':
      return recordExpiry(intent.planned, intent.instance, facts)
    case 'start_child':
      return one({
        type: 'child.started',
        ...at(intent.planned),
        instance: intent.instance,
        run_id: newRunId(facts.now),
      })
    case 'time_out':
      return one({ type: 'run.timed_out' })
    case 'finish_run': {
      const { status, reason, message, outputs } = intent
      return one({ type: 'run.finished', status, reason, message, outputs })
    }
    case 'wake':
    case 'cancel_child':
      return { events: [] }
  }
}

const one = (event: NewEvent): Recorded => ({ events: [event] })
const at = ({ phase, step }: PlannedStep) => ({ step: step.name, phase })

function recordAttempt(intent: Extract<Intent, { type: 'start_attempt' }>, facts: RecordFacts): Recorded {
  const { plan, state, names } = facts
  const { planned, instance } = intent
  const number = state.attempts.length + 1
  const { host } = state[planned.phase][planned.index]!.instances[instance]!
  const created = {
    type: 'attempt.created',
    attempt: number,
    ...at(planned),
    instance,
    host,
    try: intent.try,
  } as const
  let spec: AttemptSpec
  try {
    spec = attemptSpec(plan, state, names, planned, { number, instance, try: intent.try })
  } catch (error) {
    const finished = { type: 'attempt.finished', attempt: number, step: planned.step.name, host } as const
    return {
      events: [
        { ...created, epoch: 0 },
        { ...finished, outcome: 'failed', ...failure(error) },
      ],
    }
  }
  const placed = facts.place(spec)
  if ('waiting' in placed)
    return {
      events: [{ ...created, epoch: 0, waiting: placed.waiting }],
      start: { spec, placement: undefined },
    }
  return { events: [{ ...created, ...placed }], start: { spec, placement: placed } }
}

function recordApproval(planned: PlannedStep, instance: number, facts: RecordFacts): Recorded {
  const where = { ...at(planned), instance }
  try {
    const { message, timeout_seconds, on_timeout, comment_as, approvers } = approvalArgs(
      planned,
      instance,
      facts,
    )
    const expires_at =
      timeout_seconds === undefined ? undefined : new Date(facts.now + timeout_seconds * 1000).toISOString()
    const expiry = expires_at !== undefined && { expires_at, on_timeout }
    return one({ type: 'approval.requested', ...where, message, ...expiry, comment_as, approvers })
  } catch (error) {
    const { reason, message } = failure(error)
    return {
      events: [
        { type: 'approval.requested', ...where, message: '' },
        { type: 'approval.answered', ...where, decision: 'reject', reason, comment: message },
      ],
    }
  }
}

function recordExpiry(planned: PlannedStep, instance: number, facts: RecordFacts): Recorded {
  const answer = { type: 'approval.answered', ...at(planned), instance } as const
  try {
    return one({ ...answer, decision: approvalArgs(planned, instance, facts).on_timeout, by: 'timeout' })
  } catch (error) {
    const { reason, message } = failure(error)
    return one({ ...answer, decision: 'reject', reason, comment: message })
  }
}

/** Returns an approval's arguments with its texts filled in. Throws `unset_variable`, `invalid_argument`. */
function approvalArgs(planned: PlannedStep, instance: number, { plan, state, names }: RecordFacts) {
  const of = state[planned.phase][planned.index]!.instances[instance]!
  const { lookup } = instanceEnv(plan, state, names, planned, of)
  const args = ApprovalArgs.safeParse(fillArgs(planned.step.args, planned.raw, lookup))
  if (args.success) return args.data
  const wrong = args.error.issues.map(({ path }) => ['args', ...path].join('.'))
  throw new ErrandError(
    'invalid_argument',
    `Invalid after its variables were filled in: ${wrong.join(', ')}.`,
    {
      hint: 'Correct the args, or the variables that they use.',
    },
  )
}
