import type { ActionCatalog } from '../../contract/actions.ts'
import { parseBytes } from '../../contract/amounts.ts'
import type { Requirements } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { StepPhase } from '../../contract/events.ts'
import { strictestAsk } from '../../contract/isolation.ts'
import { DEFAULT_HOST, type Step, type Workflow } from '../../contract/workflow.ts'
import { parseWhen, type WhenAst } from '../workflow-file/when.ts'

/** A step with everything precomputed that decisions need. */
export interface PlannedStep {
  phase: StepPhase
  /** Position in its phase's list. */
  index: number
  step: Step
  /** Positions, in the same list, of the steps that must come before this one, and of those that come after it. */
  needs: readonly number[]
  dependents: readonly number[]
  when?: WhenAst
  place: 'host' | 'engine'
  /** Whether its attempts take inputs. */
  inputs: boolean
  /** Set when only a machine with a container engine can run it. */
  containers?: true
  /** Names of the arguments that are handed over as written. */
  raw: readonly string[]
}

/** The graph of a workflow. `rollback[i]` undoes `main[i]`, if that step has a rollback. */
export interface Plan {
  workflow: Workflow
  main: readonly PlannedStep[]
  rollback: readonly (PlannedStep | undefined)[]
  finally: readonly PlannedStep[]
  /** The largest request of any step, by host. */
  largest: ReturnType<typeof largestByHost>
  /** The kinds of boxes that steps ask for, by host. */
  boxes: ReturnType<typeof boxesByHost>
}

/**
 * Builds the graph. The workflow has been checked (`workflow-file/check.ts`); an unknown action throws all the same.
 */
export function plan(workflow: Workflow, catalog: ActionCatalog): Plan {
  const isGraph = workflow.steps.some((step) => step.needs !== undefined)
  const positions = new Map(workflow.steps.map((step, index) => [step.name, index]))
  const needsOf = (step: Step, index: number) => {
    if (!isGraph) return index === 0 ? [] : [index - 1]
    return [...new Set(step.needs)].map((name) => positions.get(name) ?? missing(`step "${name}"`))
  }
  const planned = (step: Step, phase: StepPhase, index: number, needs: readonly number[]): PlannedStep => {
    const action = catalog[step.action] ?? missing(`action "${step.action}"`)
    const when = step.when === undefined ? undefined : parseWhen(step.when)
    return {
      phase,
      index,
      step,
      needs,
      dependents: [],
      when,
      place: action.place,
      inputs: action.inputs === true,
      containers: action.containers,
      raw: action.raw,
    }
  }
  const main = workflow.steps.map((step, index) => planned(step, 'main', index, needsOf(step, index)))
  return {
    workflow,
    main: withDependents(main),
    rollback: workflow.steps.map((step, index) =>
      step.rollback ? planned(rollbackStep(step), 'rollback', index, []) : undefined,
    ),
    finally: (workflow.finally ?? []).map((step, index) =>
      planned(step, 'finally', index, index === 0 ? [] : [index - 1]),
    ),
    largest: largestByHost(workflow),
    boxes: boxesByHost(workflow),
  }
}

function withDependents(steps: readonly PlannedStep[]): PlannedStep[] {
  const dependents: number[][] = steps.map(() => [])
  for (const { index, needs } of steps) for (const need of needs) dependents[need]!.push(index)
  return steps.map((step) => ({ ...step, dependents: dependents[step.index]! }))
}

/** Turns a step's rollback into a step: same name, same environment, but no conditions or retries. */
function rollbackStep(step: Step): Step {
  const { name, env, secrets, resources, limits, isolation, network, image } = step
  const { action, args, timeout_seconds } = step.rollback!
  const box = { isolation, network, image }
  return {
    ...{ name, action, args, timeout_seconds, env, secrets, resources, limits, ...box },
    continue_on_error: true,
  }
}

function missing(what: string): never {
  throw new ErrandError('invalid_workflow', `The workflow names ${what}, which is unknown here.`, {
    hint: 'Check the file: errand validate FILE. A run from another version of Errand may need that version.',
  })
}

/** Returns the planned step that an event names. */
export function plannedStep(of: Plan, phase: StepPhase, name: string): PlannedStep {
  const list = of[phase]
  const found = list.find((planned) => planned?.step.name === name)
  return found ?? missing(`step "${name}" (${phase})`)
}

type Amounts = Pick<Requirements, 'cpus' | 'memory_bytes'>

/** Returns the amounts that must be free for the step: its request, or otherwise its limit. */
export const reserved = ({ resources, limits }: Step): Amounts => ({
  cpus: resources?.cpus ?? limits?.cpus,
  memory_bytes: bytesOf(resources?.memory ?? limits?.memory),
})

/** Returns the hosts that a step may run on. A target that contains a variable may be any host. */
function hostsOf({ targets = [DEFAULT_HOST] }: Step, { inventory }: Workflow): readonly string[] {
  const anywhere = targets.some((target) => target.includes('${'))
  return anywhere ? [DEFAULT_HOST, ...Object.keys(inventory?.hosts ?? {})] : targets
}

const allSteps = ({ steps, finally: last = [] }: Workflow): Step[] => [...steps, ...last]

/** Returns the largest request of any step, by host; omits hosts without a request. */
function largestByHost(workflow: Workflow): Map<string, Amounts> {
  const largest = new Map<string, Amounts>()
  for (const step of allSteps(workflow)) {
    const { cpus, memory_bytes } = reserved(step)
    if (cpus === undefined && memory_bytes === undefined) continue
    for (const host of hostsOf(step, workflow)) {
      const known = largest.get(host)
      largest.set(host, {
        cpus: greater(known?.cpus, cpus),
        memory_bytes: greater(known?.memory_bytes, memory_bytes),
      })
    }
  }
  return largest
}

type BoxKind = NonNullable<Requirements['boxes']>[number]

/** Returns the kinds of boxes that steps ask for, by host; omits hosts without any. */
function boxesByHost(workflow: Workflow): Map<string, BoxKind[]> {
  const boxes = new Map<string, BoxKind[]>()
  for (const step of allSteps(workflow)) {
    const { isolation = 'none' } = strictestAsk(workflow, step)
    // Sub-workflows are runs of their own.
    if (isolation === 'none' || step.action === 'workflow.run') continue
    for (const host of hostsOf(step, workflow))
      boxes.set(host, [...new Set([...(boxes.get(host) ?? []), isolation])].sort())
  }
  return boxes
}

const greater = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.max(a, b)

export const bytesOf = (size: string | number | undefined): number | undefined =>
  size === undefined ? undefined : parseBytes(String(size))
