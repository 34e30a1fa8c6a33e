import { ErrandError } from '../../contract/errors.ts'
import { type BoxAsk, strictestAsk } from '../../contract/isolation.ts'
import type { RetryRun } from '../../contract/runs/retry.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import { Workflow } from '../../contract/workflow.ts'
import { hadBox } from './attempt-spec.ts'
import type { Plan } from './plan.ts'
import { type InstanceState, type RunState, variablesOn } from './state.ts'

/** Prefix of the name of a run that rolls back another one. */
export const ROLLBACK_OF = 'rollback of '

/**
 * Reports whether an instance of a main step, by its position, is done for good: it succeeded and was not rolled back.
 * `undone`: names of the steps that have succeeded in runs that roll this one back.
 */
export function isDone(
  plan: Plan,
  state: RunState,
  undone: ReadonlySet<string>,
  index: number,
  position: number,
): boolean {
  const instance = state.main[index]!.instances[position]!
  return (
    instance.status === 'success' &&
    !isUndone(state, index, instance) &&
    !undoNames(plan, state, index, position).some((name) => undone.has(name))
  )
}

/**
 * Returns the workflow with each step in a box at least as strict as the one it had, so that a retry elsewhere is not
 * in a weaker one.
 */
export function withBoxesHad(workflow: Workflow, state: RunState): Workflow {
  const hadOf = ({ instances }: RunState['main'][number]) =>
    instances.map((instance) => hadBox(state, instance)).reduce<BoxAsk>(strictestAsk, {})
  const [main, last] = [state.main.map(hadOf), state.finally.map(hadOf)]
  if ([...main, ...last].every((had) => had.isolation === undefined)) return workflow
  const boxed = (steps: Workflow['steps'], had: typeof main) =>
    steps.map((step, index) => ({ ...step, ...strictestAsk(step, had[index]!) }))
  return {
    ...workflow,
    steps: boxed(workflow.steps, main),
    ...(workflow.finally && { finally: boxed(workflow.finally, last) }),
  }
}

/**
 * Builds a workflow from the rollbacks of a run except those `undone`. The step that ended last comes first, and each
 * rollback has the variables as its host and item saw them. Throws `conflict` when there is nothing to undo.
 */
export function rollbackWorkflow(plan: Plan, state: RunState, undone: ReadonlySet<string>): Workflow {
  const steps: unknown[] = []
  for (const index of [...state.finished_order].reverse()) {
    const planned = plan.rollback[index]
    if (!planned) continue
    for (const [position, instance] of state.main[index]!.instances.entries()) {
      const { host, vars, status } = instance
      const names = undoNames(plan, state, index, position)
      if (status !== 'success' || isUndone(state, index, instance) || names.some((one) => undone.has(one)))
        continue
      const { action, args, timeout_seconds, env, secrets, resources, limits } = planned.step
      const { isolation, network, image } = planned.step
      const seen = { ...variablesOn(state.vars, host), ...vars }
      for (const variable of Object.keys(secretUses(secrets ?? []))) delete seen[variable]
      steps.push({
        name: names[0],
        targets: planned.place === 'engine' ? undefined : [host],
        action,
        args,
        timeout_seconds,
        // Literal values: nothing in them counts as a variable.
        env: { ...literal(seen), ...env },
        secrets,
        resources,
        limits,
        ...{ isolation, network, image },
        continue_on_error: false,
      })
    }
  }
  if (steps.length === 0)
    throw new ErrandError(
      'conflict',
      'There is nothing to roll back: no successful step has a rollback left to run.',
      {
        hint: 'Only a step that succeeded and has a "rollback:" is rolled back. See the steps: errand runs show RUN',
      },
    )
  const { inventory, name, isolation, network, image } = plan.workflow
  return Workflow.parse({
    ...{ version: 'v0.1', name: `${ROLLBACK_OF}${name}`.slice(0, 200), inventory },
    ...{ isolation, network, image, steps },
  })
}

/**
 * Returns the name of the step that undoes an instance: the step's own, with a number if it ran several times; it
 * differs even for two long names that begin alike. It is followed by the name used in earlier releases, if no other
 * step has that.
 */
function undoNames(plan: Plan, state: RunState, index: number, position: number): string[] {
  const { name } = plan.main[index]!.step
  const numbered = `${name.length > 150 ? `${name.slice(0, 140)}… ${index + 1}` : name} (${position + 1})`
  const taken = plan.main.some(({ step }) => step.name === numbered)
  if (state.main[index]!.instances.length === 1) return taken ? [name] : [name, numbered]
  return [taken ? `${numbered} (${index + 1})` : numbered]
}

/** Reports whether the run itself has undone the instance, after a failure. */
function isUndone({ rollback }: RunState, index: number, { host, vars }: InstanceState): boolean {
  return (
    rollback[index]?.instances.some(
      (undo) =>
        undo.status === 'success' &&
        undo.host === host &&
        JSON.stringify(undo.vars ?? {}) === JSON.stringify(vars ?? {}),
    ) ?? false
  )
}

function literal(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value.replaceAll('${', () => '$${')]),
  )
}

/** Describes the main steps of a workflow and what they do. */
export const doneBy = ({ steps }: Workflow): string =>
  JSON.stringify(
    steps.map(({ name, action, args, targets, foreach, matrix, needs }) => [
      ...[name, action, args, targets, foreach, matrix, needs],
    ]),
  )

/** Refuses to retry a part of a rollback. Throws `invalid_argument`. */
export function refuseParts({ only: _, ...parts }: RetryRun): void {
  const part = Object.entries(parts).find(([, value]) => value !== undefined)
  if (part)
    throw new ErrandError(
      'invalid_argument',
      `A rollback is retried as a whole, so "${part[0]}" is not allowed.`,
      {
        hint: 'Leave it out. What was already rolled back is not rolled back again.',
      },
    )
}
