import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import type { StepInstance } from '../../contract/events.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { Reason } from '../../contract/status.ts'
import { secretMark } from '../../contract/step-secrets.ts'
import { fillText, type Lookup, lookupIn } from '../workflow-file/template.ts'
import type { Plan, PlannedStep } from './plan.ts'
import { type RunState, valueOn, variablesOn } from './state.ts'

/** The name and status of a run, as steps may read them. */
export interface RunNames {
  run_id: string
  /** The run's owner, purpose and repository, which are part of what a machine is given. */
  of?: Pick<RunSpec, 'owner' | 'tenant' | 'repository' | 'blueprint'>
  /** Set once the main steps are over, for rollback and `finally`. */
  status?: string
}

/** Looks up variables outside an instance: for targets, items, outputs. */
export function runLookup(plan: Plan, state: RunState, names: RunNames): Lookup {
  const own = lookupIn(builtins(plan, names))
  return { get: (name) => state.vars.get(name)?.value ?? own.get(name), names: () => state.vars.keys() }
}

/**
 * Looks up variables of an instance, for its `when` and its arguments. Its item's variables override the step's `env`,
 * which overrides the run's variables as its host sees them. A text of `env` sees those above it. A variable that
 * cannot be worked out matters only when it is read: then `get` throws its `unset_variable`. `secrets` are variables
 * that hold marks instead of values; no other variable's value can pass for a mark.
 */
export function instanceLookup(
  plan: Plan,
  { vars }: RunState,
  names: RunNames,
  { step }: PlannedStep,
  { host, vars: item = {} }: StepInstance,
  secrets: readonly string[] = [],
): Lookup {
  const own = lookupIn({ ...builtins(plan, names), ERRAND_STEP: step.name, ERRAND_HOST: host })
  const ofStep = new Map<string, () => string>()
  const clean = secrets.length > 0 ? withoutNuls : (text: string) => text
  const lookup: Lookup = {
    get(name) {
      if (secrets.includes(name)) return secretMark(name)
      if (Object.hasOwn(item, name)) return clean(item[name]!)
      const text = ofStep.get(name)
      if (text) return text()
      if (name === 'ERRAND_RUN_STATUS' && names.status) return names.status
      const variable = vars.get(name)
      return variable ? clean(valueOn(variable, host)) : own.get(name)
    },
    names: () => [...vars.keys(), ...ofStep.keys(), ...Object.keys(item), ...secrets],
  }
  for (const [name, text] of Object.entries(step.env ?? {}))
    try {
      const value = fillText(clean(String(text)), lookup)
      ofStep.set(name, () => value)
    } catch (error) {
      ofStep.set(name, () => {
        throw error
      })
    }
  return lookup
}

/**
 * Returns the environment of an instance: all variables of its lookup except `ERRAND_STEP` and the like. Throws
 * `unset_variable`.
 */
export function instanceEnv(
  plan: Plan,
  state: RunState,
  names: RunNames,
  planned: PlannedStep,
  instance: StepInstance,
  secrets: readonly string[] = [],
): { env: Record<string, string>; lookup: Lookup } {
  const lookup = instanceLookup(plan, state, names, planned, instance, secrets)
  const env = { ...variablesOn(state.vars, instance.host), ...instance.vars }
  if (names.status) env.ERRAND_RUN_STATUS = names.status
  // Secrets replace a variable of the same name, which only the person who started the run can have given.
  for (const name of secrets) delete env[name]
  if (secrets.length > 0) for (const [name, value] of Object.entries(env)) env[name] = withoutNuls(value)
  for (const name of Object.keys(planned.step.env ?? {})) env[name] = lookup.get(name)!
  return { env, lookup }
}

const withoutNuls = (text: string): string => text.replaceAll('\0', '')

function builtins(plan: Plan, names: RunNames): Record<string, string> {
  return {
    ERRAND_RUN_ID: names.run_id,
    ERRAND_WORKFLOW: plan.workflow.name,
    ...(names.status ? { ERRAND_RUN_STATUS: names.status } : {}),
  }
}

/** Turns an error of filling in or evaluating into the reason with which a step fails. */
export function failure(error: unknown): { reason: Reason; message: string } {
  if (!(error instanceof ErrandError)) throw error
  const reason: Reason = error.code === 'unset_variable' ? 'unset_variable' : 'invalid_argument'
  return { reason, message: messageWithHint(error) }
}
