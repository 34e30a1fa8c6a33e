import { isDeepStrictEqual } from 'node:util'
import { stringify } from 'yaml'
import type { core } from 'zod'
import type { ActionCatalog } from '../../contract/actions.ts'
import { RUN_SECRET, secretUses } from '../../contract/step-secrets.ts'
import { type Step, Workflow } from '../../contract/workflow.ts'
import { CHECKOUT_STEP } from './checkout-step.ts'

/** A checked workflow as the text of a file, and the credentials of its `env` that are not in it. */
export interface Written {
  yaml: string
  /** Variables of `env` that are empty in the text: their values are the run's secrets. */
  left_out: string[]
}

type Values = Record<string, unknown>

/** Writes a checked workflow as a person would, without defaults. Reading the text gives the same workflow. */
export function writtenWorkflow(checked: Workflow, catalog: ActionCatalog): Written {
  const { workflow, left_out } = withEmptyCredentials(checked, catalog)
  const file = withoutDefaults(Workflow, workflow) as Values & { steps: Values[]; finally?: Values[] }
  const steps = [...file.steps, ...(file.finally ?? [])]
  for (const step of steps) {
    shortArgs(step, catalog)
    if (step.rollback !== undefined) shortArgs(step.rollback as Values, catalog)
  }
  const { version, name, description, ...rest } = withCheckout(file)
  const ordered = { version, name, ...(description === undefined ? {} : { description }), ...rest }
  return { yaml: stringify(ordered, { lineWidth: 120 }), left_out }
}

/** Replaces the first step with the `workspace:` that it stands for; a file may not contain that step. */
function withCheckout(file: Values & { steps: Values[] }): Values {
  const [first, ...others] = file.steps
  if (first?.name !== CHECKOUT_STEP || first.action !== 'git.workspace') return file
  const { token_env: _, ...checkout } = first.args as Values
  const workspace = { ...checkout, ...(first.secrets === undefined ? {} : { secrets: first.secrets }) }
  const steps = others.map((step) => {
    if (!isDeepStrictEqual(step.needs, [CHECKOUT_STEP])) return step
    const { needs: _needs, ...rest } = step
    return rest
  })
  const { steps: _steps, finally: last, ...rest } = file
  return { ...rest, workspace, steps, ...(last === undefined ? {} : { finally: last }) }
}

function shortArgs(step: Values, catalog: ActionCatalog): void {
  const { action, args } = step as { action: string; args?: Values }
  const schema = catalog[action]?.args
  if (args === undefined) return
  if (action === 'workflow.run' && args.workflow !== undefined) {
    // Replaces its file, whose text is not stored.
    const { file: _, workflow, ...rest } = args
    const inner = writtenInner(workflow as Workflow, catalog)
    step.args = { ...(schema ? (withoutDefaults(schema, rest) as Values) : rest), workflow: inner }
  } else if (schema !== undefined) step.args = withoutDefaults(schema, args)
  if (Object.keys(step.args as Values).length === 0) delete step.args
}

function writtenInner(workflow: Workflow, catalog: ActionCatalog): Values {
  const file = withoutDefaults(Workflow, workflow) as Values & { steps: Values[]; finally?: Values[] }
  for (const step of [...file.steps, ...(file.finally ?? [])]) shortArgs(step, catalog)
  return withCheckout(file)
}

/**
 * Puts the credentials that were taken out of `env` back as empty variables: in the file's `env` if all steps had it,
 * otherwise in each step's.
 */
function withEmptyCredentials(workflow: Workflow, catalog: ActionCatalog) {
  const all = [...workflow.steps, ...(workflow.finally ?? [])]
  const sealedOf = ({ secrets }: Step): string[] =>
    Object.entries(secretUses(secrets ?? [])).flatMap(([variable, { name }]) =>
      name.startsWith(RUN_SECRET) ? [variable] : [],
    )
  const left_out = [...new Set(all.flatMap(sealedOf))]
  if (left_out.length === 0) return { workflow, left_out }
  const onHosts = all.filter(({ action }) => catalog[action]?.place !== 'engine')
  const shared = left_out.filter((name) => onHosts.every((step) => sealedOf(step).includes(name)))
  const emptied = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, '']))
  const opened = (step: Step): Step => {
    const sealed = sealedOf(step)
    if (sealed.length === 0) return step
    const { secrets = {}, env, ...rest } = step
    const unsealed = Object.entries(secrets).filter(([variable]) => !sealed.includes(variable))
    const own = { ...env, ...emptied(sealed.filter((name) => !shared.includes(name))) }
    return {
      ...rest,
      ...(Object.keys(own).length > 0 && { env: own }),
      ...(unsealed.length > 0 && { secrets: Object.fromEntries(unsealed) }),
    }
  }
  return {
    workflow: {
      ...workflow,
      ...(shared.length > 0 && { env: { ...workflow.env, ...emptied(shared) } }),
      steps: workflow.steps.map(opened),
      ...(workflow.finally && { finally: workflow.finally.map(opened) }),
    },
    left_out,
  }
}

type Def = {
  type: string
  innerType?: core.$ZodType
  defaultValue?: unknown
  shape?: Record<string, core.$ZodType>
  element?: core.$ZodType
  valueType?: core.$ZodType
}
const defOf = (schema: core.$ZodType): Def => schema._zod.def as unknown as Def

/** Returns the value without what its schema fills in by itself. */
function withoutDefaults(schema: core.$ZodType, value: unknown): unknown {
  const { type, innerType, shape, element, valueType } = defOf(schema)
  if (innerType !== undefined) return withoutDefaults(innerType, value)
  if (Array.isArray(value))
    return type === 'array' && element ? value.map((one) => withoutDefaults(element, one)) : value
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, one]) => one !== undefined)
  if (type === 'record' && valueType)
    return Object.fromEntries(entries.map(([name, one]) => [name, withoutDefaults(valueType, one)]))
  if (type !== 'object' || shape === undefined) return value
  return Object.fromEntries(
    entries.flatMap(([name, one]) => {
      const own = shape[name]
      if (own === undefined) return [[name, one]]
      const short = withoutDefaults(own, one)
      const { type: kind, defaultValue } = defOf(own)
      const isFilledIn =
        (kind === 'default' && isDeepStrictEqual(one, defaultValue)) ||
        (kind === 'prefault' && isDeepStrictEqual(short, defaultValue))
      return isFilledIn ? [] : [[name, short]]
    }),
  )
}
