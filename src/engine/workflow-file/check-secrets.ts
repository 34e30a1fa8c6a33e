import type { ActionCatalog } from '../../contract/actions.ts'
import { isCredentialName } from '../../contract/names.ts'
import { RUN_SECRET, secretUses, secretWarnings } from '../../contract/step-secrets.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import { asList, asMap, asText, entriesOf, own } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'
import { fillText, lookupIn, variableUses } from './template.ts'
import { declaredExports, eachUse, knownExports } from './variable-uses.ts'

interface SecretLocation {
  path: ValuePath
  step: unknown
  /** Variables that hold the secrets of its processes. */
  secrets: ReadonlySet<string>
}

/**
 * Checks that a secret has a name of its own, and appears only in the arguments of the steps that name it. Skips the
 * secrets that replaced credentials in `env`: they may appear anywhere.
 */
export function checkSecrets(report: Report, workflow: unknown, catalog: ActionCatalog): void {
  const locations: SecretLocation[] = (['steps', 'finally'] as const).flatMap((list) =>
    asList(own(workflow, list)).map((step, index) => ({
      path: [list, index],
      step,
      secrets: new Set(variablesOf(own(step, 'secrets'))),
    })),
  )
  const all = new Set(locations.flatMap(({ secrets }) => [...secrets]))
  if (all.size === 0) return
  const variables = plainVariables(workflow)
  for (const location of locations) {
    checkNames(report, location, variables)
    checkUses(report, location, all, catalog)
  }
  for (const key of ['env', 'outputs'] as const) refuse(report, [key], own(workflow, key), all)
  refuse(report, ['concurrency', 'group'], own(own(workflow, 'concurrency'), 'group'), all)
}

function variablesOf(secrets: unknown): string[] {
  if (Array.isArray(secrets)) return secrets.map(asText).filter((name) => name !== undefined)
  return entriesOf(secrets).flatMap(([name, use]) =>
    asText(own(use, 'secret'))?.startsWith(RUN_SECRET) || own(use, 'as') === 'mask' ? [] : [name],
  )
}

/** Returns where each variable of the file that is not a secret comes from. */
function plainVariables(workflow: unknown): Map<string, string> {
  const found = new Map<string, string>()
  const add = (names: readonly string[], from: string) => {
    for (const name of names) found.set(name, from)
  }
  add(Object.keys(asMap(own(workflow, 'inputs')) ?? {}), 'an input')
  add(Object.keys(asMap(own(workflow, 'env')) ?? {}), 'a variable in env')
  for (const list of ['steps', 'finally'] as const)
    for (const step of asList(own(workflow, list))) {
      const name = own(step, 'name')
      const which = typeof name === 'string' ? `step ${JSON.stringify(name)}` : 'another step'
      add(declaredExports(step), `a variable that ${which} sets`)
    }
  return found
}

function checkNames(
  report: Report,
  { path, step, secrets }: SecretLocation,
  variables: ReadonlyMap<string, string>,
): void {
  const value = own(step, 'secrets')
  const at = (name: string): ValuePath => [
    ...path,
    'secrets',
    Array.isArray(value) ? value.lastIndexOf(name) : name,
  ]
  for (const name of secrets) {
    const other =
      variables.get(name) ??
      (own(own(step, 'env'), name) !== undefined ? "a variable in the step's env" : undefined) ??
      (own(own(step, 'matrix'), name) !== undefined ? 'a variable of its matrix' : undefined) ??
      (name === 'ITEM' && own(step, 'foreach') !== undefined ? 'the item of foreach' : undefined) ??
      (name.startsWith('ERRAND_') ? 'a name that is reserved for Errand' : undefined)
    if (other !== undefined)
      report.say(at(name), `is called ${JSON.stringify(name)}, which is ${other}`, {
        hint: `use another variable for it: secrets: {OTHER_NAME: ${name}}`,
      })
    const source = asMap(own(value, name))
    if (source && Object.hasOwn(source, 'mounted') && Object.hasOwn(source, 'secret'))
      report.say([...at(name), 'mounted'], 'cannot be combined with secret', {
        at: 'key',
        hint: 'keep one of them',
      })
  }
  if (Array.isArray(value) && value.length > secrets.size)
    report.say([...path, 'secrets'], 'names a secret twice', { hint: 'name it once' })
}

function checkUses(
  report: Report,
  { path, step, secrets }: SecretLocation,
  all: ReadonlySet<string>,
  catalog: ActionCatalog,
): void {
  for (const key of ['when', 'targets', 'foreach', 'env'] as const)
    refuse(report, [...path, key], own(step, key), all)
  for (const [holder, at] of [
    [step, path],
    [own(step, 'rollback'), [...path, 'rollback']],
  ] as const) {
    const action = asText(own(holder, 'action')) ?? ''
    const raw = Object.hasOwn(catalog, action) ? catalog[action]!.raw : []
    for (const [key, value] of entriesOf(own(holder, 'args'))) {
      if (raw.includes(key)) continue
      const to = [...at, 'args', key]
      if (action === 'vars.set')
        refuse(
          report,
          to,
          value,
          all,
          'a secret cannot become a variable; add it to the secrets of the step that uses it',
        )
      else if (key === 'output_path') refuse(report, to, value, all)
      else
        eachUse(to, value, all, (where, index, name) => {
          if (secrets.has(name)) return
          const message = `uses the secret ${JSON.stringify(name)}, which its step does not name`
          report.say(where, message, { at: index, hint: `add it to the step: secrets: [${name}]` })
        })
    }
  }
}

const argsOnly = 'secrets can be used only in args'

function refuse(
  report: Report,
  path: ValuePath,
  value: unknown,
  all: ReadonlySet<string>,
  hint = argsOnly,
): void {
  eachUse(path, value, all, (where, index, name) =>
    report.say(where, `uses the secret ${JSON.stringify(name)}`, { at: index, hint }),
  )
}

type Names = ReadonlySet<string>

/** Warns of credentials in `env`, without showing their lines. Expects a valid workflow. */
export function checkCredentials(report: Report, workflow: Workflow, catalog: ActionCatalog): void {
  const warn = (path: ValuePath, env: Step['env'], read: Names) => {
    for (const [name, value] of Object.entries(env ?? {})) {
      const text = credentialText(name, value)
      if (text === undefined) continue
      const short = secretWarnings(text).length > 0 ? '; it is too short to be masked in output' : ''
      const message = read.has(name)
        ? 'looks like a credential, and is stored as plain text, because the run itself reads it (in when, targets, outputs and so on)'
        : `looks like a credential, and is written in the file${short}`
      report.say([...path, 'env', name], message, {
        severity: 'warning',
        at: 'key',
        confidential: true,
        hint: `store it with errand secrets set ${name}, and add it to the steps: secrets: [${name}]; if it is not a secret, make it an input`,
      })
    }
  }
  warn([], workflow.env, readByEngine(workflow, catalog))
  for (const list of ['steps', 'finally'] as const)
    for (const [index, step] of (workflow[list] ?? []).entries())
      warn([list, index], step.env, readOfStep(step, catalog))
}

/** Returns the value of a variable of `env` that looks like a literal credential, not like another variable's value. */
export function credentialText(name: string, value: unknown): string | undefined {
  if (!isCredentialName(name) || (typeof value !== 'string' && typeof value !== 'number')) return undefined
  const text = String(value)
  if (text === '' || text.includes('\0') || variableUses(text).length > 0) return undefined
  return fillText(text, lookupIn({}))
}

/**
 * Returns the variables whose values the engine needs: it decides by them, fills them in itself, or a step sets them.
 */
export function readByEngine(workflow: Workflow, catalog: ActionCatalog): Names {
  const { inputs = {}, env = {}, outputs, concurrency, inventory } = workflow
  const read = new Set([...Object.keys(inputs), ...usesIn([outputs, concurrency?.group, inventory])])
  for (const step of [...workflow.steps, ...(workflow.finally ?? [])])
    for (const name of [...readOfStep(step, catalog), ...knownExports(step)]) read.add(name)
  // Each stands before those that use it.
  for (const [name, value] of Object.entries(env).reverse())
    if (read.has(name)) for (const other of usesIn(value)) read.add(other)
  return read
}

/** Does as `readByEngine`, for a single step. */
export function readOfStep(step: Step, catalog: ActionCatalog): Names {
  const read = new Set(usesIn([step.when, step.targets, step.foreach]))
  for (const { action, args } of [step, ...(step.rollback ? [step.rollback] : [])]) {
    const { workflow: _, ...texts } = args
    // The variables that vars.set sets belong to the run.
    const isRead = catalog[action]?.place === 'engine' || action === 'vars.set'
    const own = isRead ? texts : { output_path: args.output_path }
    for (const name of usesIn(own)) read.add(name)
  }
  const env = Object.entries(step.env ?? {}).reverse()
  for (const [name, value] of env) if (read.has(name)) for (const other of usesIn(value)) read.add(other)
  for (const name of Object.keys(secretUses(step.secrets ?? []))) read.delete(name)
  return read
}

/** Returns the names of the variables that the texts of a value use. */
export function usesIn(value: unknown): string[] {
  const names: string[] = []
  eachUse([], value, { has: () => true }, (_path, _index, name) => names.push(name))
  return names
}
