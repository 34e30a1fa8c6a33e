import type { ActionCatalog } from '../../contract/actions.ts'
import { RUN_SECRET } from '../../contract/step-secrets.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import { credentialText, readByEngine, readOfStep, usesIn } from './check-secrets.ts'

/** Leaves room for the prefix and suffix of a variable's name. */
const MAX_NAME = 110

type Env = NonNullable<Step['env']>
type Names = ReadonlySet<string>
interface Use {
  secret: string
  as: 'env'
}
type Uses = Record<string, Use>

/**
 * Returns a workflow without the credentials in its own `env` and those of its steps and sub-workflows: the steps name
 * them as secrets, stored under the names in `values`. What the engine must read itself stays in place. `given`:
 * variables that the caller has set. Expects a checked workflow.
 */
export function sealedEnv(
  workflow: Workflow,
  names: Names,
  catalog: ActionCatalog,
): { workflow: Workflow; values: Record<string, string> } {
  const values: Record<string, string> = {}
  const keep = (name: string, value: string): Use => {
    for (let number = 1; ; number++) {
      const secret = `${RUN_SECRET}${name.slice(0, MAX_NAME)}${number === 1 ? '' : `_${number}`}`
      if (values[secret] === undefined || values[secret] === value) {
        values[secret] = value
        return { secret, as: 'env' }
      }
    }
  }
  const sealed = sealedWorkflow(workflow, names, catalog, keep)
  return Object.keys(values).length === 0 ? { workflow, values } : { workflow: sealed, values }
}

type Keep = (name: string, value: string) => Use

function sealedWorkflow(workflow: Workflow, names: Names, catalog: ActionCatalog, keep: Keep): Workflow {
  const read = readByEngine(workflow, catalog)
  const env: Env = {}
  const shared: Uses = {}
  /** Texts that contain a sealed variable, which each step fills in for itself. */
  const derived: Env = {}
  for (const [name, value] of Object.entries(workflow.env ?? {})) {
    const text = credentialText(name, value)
    const hidden = (other: string) => Object.hasOwn(shared, other) || Object.hasOwn(derived, other)
    if (read.has(name)) env[name] = value
    else if (text !== undefined) {
      // The file's own value is unused where the caller has given another.
      if (!names.has(name)) shared[name] = keep(name, text)
    } else if (!names.has(name) && usesIn(value).some(hidden)) derived[name] = value
    else env[name] = value
  }
  const seal = (step: Step) => sealedStep(step, { shared, derived }, catalog, keep)
  return {
    ...workflow,
    ...(workflow.env && { env }),
    steps: workflow.steps.map(seal),
    ...(workflow.finally && { finally: workflow.finally.map(seal) }),
  }
}

function sealedStep(
  step: Step,
  { shared, derived }: { shared: Uses; derived: Env },
  catalog: ActionCatalog,
  keep: Keep,
): Step {
  const inner = { ...step, ...sealedArgs(step, catalog, keep) }
  const read = readOfStep(step, catalog)
  const hidden = new Set([...Object.keys(step.matrix ?? {}), ...(step.foreach === undefined ? [] : ['ITEM'])])
  const env: Env = {}
  const uses: Uses = {}
  // A step without a host has no environment: only its arguments read variables.
  const onHost = catalog[step.action]?.place !== 'engine'
  if (onHost) {
    for (const [name, use] of Object.entries(shared))
      if (!hidden.has(name) && step.env?.[name] === undefined) uses[name] = use
    for (const [name, value] of Object.entries(derived)) if (!hidden.has(name)) env[name] = value
  }
  for (const [name, value] of Object.entries(step.env ?? {})) {
    const text = read.has(name) || hidden.has(name) ? undefined : credentialText(name, value)
    if (text === undefined) env[name] = value
    else {
      delete env[name]
      if (onHost) uses[name] = keep(name, text)
    }
  }
  const isAsItWas = Object.keys(env).length === Object.keys(step.env ?? {}).length
  if (isAsItWas && Object.keys(uses).length === 0) return inner
  const { secrets = [] } = step
  const own = Array.isArray(secrets) ? Object.fromEntries(secrets.map((name) => [name, name])) : secrets
  const named = { ...uses, ...own }
  return { ...inner, env, ...(Object.keys(named).length > 0 && { secrets: named }) }
}

/** Seals the arguments of a `workflow.run`, which hold a checked workflow. */
function sealedArgs(
  { action, args }: { action: string; args: Record<string, unknown> },
  catalog: ActionCatalog,
  keep: Keep,
) {
  if (action !== 'workflow.run' || typeof args.workflow !== 'object' || args.workflow === null) return {}
  const inputs = new Set(Object.keys((args.inputs as object | undefined) ?? {}))
  return { args: { ...args, workflow: sealedWorkflow(args.workflow as Workflow, inputs, catalog, keep) } }
}
