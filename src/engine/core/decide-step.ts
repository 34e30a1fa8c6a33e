import { ErrandError } from '../../contract/errors.ts'
import type { StepInstance } from '../../contract/events.ts'
import { isCredentialName } from '../../contract/names.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { RetryMarks } from '../../contract/runs/retry.ts'
import { isFinalStep, type Reason } from '../../contract/status.ts'
import type { Step } from '../../contract/workflow.ts'
import { type Lookup, variableUses } from '../workflow-file/template.ts'
import { evaluateWhen } from '../workflow-file/when.ts'
import { expand } from './expand.ts'
import { InstanceSet } from './instance-set.ts'
import type { Intent } from './intents.ts'
import { failure, instanceLookup, type RunNames, runLookup } from './lookup.ts'
import { stepOutcome } from './outcome.ts'
import type { Plan, PlannedStep } from './plan.ts'
import type { InstanceState, RunState, StepState } from './state.ts'

export interface StepRules {
  names: RunNames
  due(atMs: number): boolean
  /** The reason why nothing new may begin and running work must end. */
  stop?: Reason
  force: boolean
  carried?: RunSpec['carried']
  retry?: RetryMarks
}

/** Returns what to do for a step that is not final and whose needs are met. */
export function decideStep(
  plan: Plan,
  state: RunState,
  planned: PlannedStep,
  step: StepState,
  rules: StepRules,
): Intent[] {
  if (step.status === 'queued') return begin(plan, state, planned, rules)
  const intents: Intent[] = rules.stop
    ? stopInstances(state, step, rules)
    : startInstances(planned, step, rules)
  if (intents.length > 0) return intents
  const dropped = step.first_open < step.instances.length
  if (dropped && (!rules.stop || step.instances.some(isBusy))) return []
  const outcome = dropped ? { status: 'canceled' as const, reason: rules.stop } : stepOutcome(step)
  return [{ type: 'finish_step', planned, ...outcome }]
}

function begin(plan: Plan, state: RunState, planned: PlannedStep, rules: StepRules): Intent[] {
  const lookup = runLookup(plan, state, rules.names)
  const { name } = planned.step
  const { kept, leftOut, anyway } = marksOf(planned, rules)
  const skipped: Intent = leftOut
    ? { type: 'skip_step', planned, reason: 'left_out', message: LEFT_OUT }
    : { type: 'skip_step', planned, reason: 'condition', message: falseText(planned.step.when, lookup) }
  if (kept !== undefined && kept.instances.length === 0) {
    const { reason = 'upstream', message = '' } = kept
    if (kept.status === 'skipped') return [{ type: 'skip_step', planned, reason, message }]
    return [{ type: 'fail_step', planned, reason, message }]
  }
  let instances: StepInstance[]
  try {
    instances = expand(plan, planned, lookup)
  } catch (error) {
    // Its hosts or items cannot be worked out, which does not matter if the step is not to run at all.
    const isOut = leftOut || (!anyway && isFalse(planned, lookup))
    return [isOut ? skipped : { type: 'fail_step', planned, ...failure(error) }]
  }
  const done = new InstanceSet(rules.carried?.[name] ?? [])
  const staying = new InstanceSet(kept?.instances ?? [])
  const all = instances.map((instance): StepInstance => {
    const copied = done.take(instance)
    if (copied) return { ...instance, carried: copied.exports, ...childOf(copied) }
    const stays = staying.take(instance)
    if (stays) return { ...instance, ended: endedAs(stays), ...childOf(stays) }
    if (leftOut) return { ...instance, ended: { status: 'skipped', reason: 'left_out', message: LEFT_OUT } }
    return anyway ? instance : withCondition(plan, state, planned, rules.names, instance)
  })
  const none =
    all.length === 0
      ? leftOut || (!anyway && isFalse(planned, lookup))
      : all.every(({ ended }) => ended?.status === 'skipped')
  if (!none) return [{ type: 'start_step', planned, instances: all }]
  // For a single instance, its own values say more than the run's.
  const only = instances.length === 1 && !leftOut ? instances[0] : undefined
  const message =
    only && falseText(planned.step.when, instanceLookup(plan, state, rules.names, planned, only))
  return [message === undefined ? skipped : { ...skipped, message }]
}

const childOf = ({ child }: { child?: string }) => (child === undefined ? {} : { child })

const LEFT_OUT = 'left out of the retry'

/** Returns what a retry requests for a main step; it never names other steps. */
function marksOf({ phase, step: { name } }: PlannedStep, { retry }: StepRules) {
  const isMain = phase === 'main'
  return {
    kept: isMain ? retry?.kept?.[name] : undefined,
    leftOut: isMain && retry?.skip?.includes(name) === true,
    anyway: isMain && retry?.run_anyway?.includes(name) === true,
  }
}

const endedAs = ({
  status,
  reason,
  message,
}: NonNullable<RetryMarks['kept']>[string]['instances'][number]): StepInstance['ended'] => ({
  status,
  reason: reason ?? (status === 'failed' ? 'upstream' : status),
  message,
})

const MOST_VALUES = 5
const VALUE_CHARACTERS = 60

/**
 * Says that `when` is false, with the values of its variables. Hides a value whose variable is named like a credential.
 */
function falseText(when: Step['when'] = '', lookup: Lookup): string {
  if (when === 'false') return 'when: false'
  const names = [...new Set(variableUses(when).map(({ name }) => name))]
  const values = names.slice(0, MOST_VALUES).flatMap((name) => {
    const value = readable(name, lookup)
    if (value === undefined) return []
    const shown = value.length > VALUE_CHARACTERS ? `${value.slice(0, VALUE_CHARACTERS - 1)}…` : value
    return [`${name} is ${isCredentialName(name) ? '***' : JSON.stringify(shown)}`]
  })
  return `when: ${when} is false${values.length === 0 ? '' : ` (${values.join(', ')})`}`
}

/** Reads a variable; returns undefined when it is not set, or its text cannot be filled in. */
function readable(name: string, lookup: Lookup): string | undefined {
  try {
    return lookup.get(name)
  } catch {
    return undefined
  }
}

/** Reports whether `when` is false for every instance; returns false when the condition depends on the instance. */
function isFalse({ when }: PlannedStep, lookup: Lookup): boolean {
  try {
    return when !== undefined && !evaluateWhen(when, lookup)
  } catch (error) {
    failure(error)
    return false
  }
}

/** Returns the instance, ended if its `when` is false or cannot be evaluated. */
function withCondition(
  plan: Plan,
  state: RunState,
  planned: PlannedStep,
  names: RunNames,
  instance: StepInstance,
): StepInstance {
  if (!planned.when) return instance
  try {
    if (evaluateWhen(planned.when, instanceLookup(plan, state, names, planned, instance))) return instance
    return { ...instance, ended: { status: 'skipped', reason: 'condition' } }
  } catch (error) {
    const { reason, message } = failure(error)
    return {
      ...instance,
      ended: { status: 'failed', reason: reason === 'unset_variable' ? reason : 'when_error', message },
    }
  }
}

/** Reports whether a machine or another run still works on the instance. */
function isBusy(instance: InstanceState): boolean {
  return instance.status === 'running' || (instance.child !== undefined && !isFinalStep(instance.status))
}

function startInstances(planned: PlannedStep, step: StepState, { due }: StepRules): Intent[] {
  const { queued = 0, running = 0, waiting = 0 } = step.tally
  const most = planned.step.max_parallel ?? Number.POSITIVE_INFINITY
  if (waiting === 0 && (queued === 0 || running >= most)) return []
  const intents: Intent[] = []
  const retrying =
    waiting === 0 ? 0 : step.instances.filter((instance) => instance.retry_at !== undefined).length
  let busy = running + waiting - retrying
  for (let index = step.first_open; index < step.instances.length; index++) {
    const instance = step.instances[index]!
    if (instance.approval?.expires_at) {
      const at_ms = Date.parse(instance.approval.expires_at)
      intents.push(
        due(at_ms) ? { type: 'expire_approval', planned, instance: index } : { type: 'wake', at_ms },
      )
    } else if (instance.retry_at !== undefined && !due(instance.retry_at))
      intents.push({ type: 'wake', at_ms: instance.retry_at })
    else if ((instance.status === 'queued' || instance.retry_at !== undefined) && busy < most) {
      intents.push(startInstance(planned, index, instance))
      busy++
    }
  }
  return intents
}

function startInstance(planned: PlannedStep, index: number, instance: InstanceState): Intent {
  switch (planned.step.action) {
    case 'approval.wait':
      return { type: 'request_approval', planned, instance: index }
    case 'workflow.run':
      return { type: 'start_child', planned, instance: index }
    default:
      if (planned.place === 'engine')
        throw new ErrandError('internal', `The engine cannot run action ${planned.step.action}.`)
      return { type: 'start_attempt', planned, instance: index, try: instance.attempts.length + 1 }
  }
}

function stopInstances(state: RunState, step: StepState, { stop, force }: StepRules): Intent[] {
  const intents: Intent[] = []
  for (const instance of step.instances) {
    if (!isBusy(instance)) continue
    if (instance.child) intents.push({ type: 'cancel_child', run_id: instance.child, force })
    const attempt = state.attempts[(instance.attempts.at(-1) ?? 0) - 1]
    if (attempt && !attempt.end && !attempt.cancel)
      intents.push({ type: 'cancel_attempt', number: attempt.number, reason: stop!, force })
  }
  return intents
}
