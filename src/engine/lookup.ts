import { ErrandError } from '../contract/errors.ts'
import type { StepInstance } from '../contract/events.ts'
import type { RunSpec } from '../contract/run.ts'
import type { Reason } from '../contract/status.ts'
import { fillText, type Lookup, lookupIn } from './file/template.ts'
import type { Plan, PlannedStep } from './plan.ts'
import type { RunState } from './state.ts'
import { variablesOn } from './variables.ts'

/** What a run is called and how it stands, as steps may read it. */
export interface RunNames {
  run_id: string
  /** Whose run it is and what for; what a machine is given says so. */
  of?: Pick<RunSpec, 'owner' | 'tenant' | 'repository' | 'blueprint'>
  /** Set once the main steps are over, for rollback and `finally`. */
  status?: string
}

/** Variables outside a step: for `when`, targets, items, outputs. */
export function runLookup(plan: Plan, state: RunState, names: RunNames): Lookup {
  const own = lookupIn(builtins(plan, names))
  return { get: (name) => state.vars.get(name)?.value ?? own.get(name), names: () => state.vars.keys() }
}

/**
 * The environment of an instance: the run's variables as its host sees them, the step's `env` over them, its
 * item's variables over all. Throws `unset_variable`.
 */
export function instanceEnv(
  plan: Plan,
  state: RunState,
  names: RunNames,
  planned: PlannedStep,
  instance: StepInstance,
): { env: Record<string, string>; lookup: Lookup } {
  const env = { ...variablesOn(state.vars, instance.host), ...instance.vars }
  const own = lookupIn({
    ...builtins(plan, names),
    ERRAND_STEP: planned.step.name,
    ERRAND_HOST: instance.host,
  })
  if (names.status) env.ERRAND_RUN_STATUS = names.status
  const given = lookupIn(env)
  const lookup: Lookup = { get: (name) => given.get(name) ?? own.get(name), names: given.names }
  for (const [name, value] of Object.entries(planned.step.env ?? {}))
    if (!Object.hasOwn(instance.vars ?? {}, name)) env[name] = fillText(String(value), lookup)
  return { env, lookup }
}

function builtins(plan: Plan, names: RunNames): Record<string, string> {
  return {
    ERRAND_RUN_ID: names.run_id,
    ERRAND_WORKFLOW: plan.workflow.name,
    ...(names.status ? { ERRAND_RUN_STATUS: names.status } : {}),
  }
}

/** An error of filling in or evaluating, as the reason a step fails with. */
export function failure(error: unknown): { reason: Reason; message: string } {
  if (!(error instanceof ErrandError)) throw error
  const reason: Reason = error.code === 'unset_variable' ? 'unset_variable' : 'invalid_argument'
  return { reason, message: error.hint ? `${error.message} ${error.hint}` : error.message }
}
