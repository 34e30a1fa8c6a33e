import type { ActionCatalog } from '../../contract/actions.ts'
import { isCredentialName } from '../../contract/credential-names.ts'
import { secretWarnings } from '../../contract/secret-value.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import { eachUse } from './each-use.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'
import { knownExports } from './step-exports.ts'
import { fillText, lookupIn, variableUses } from './template.ts'

type Names = ReadonlySet<string>

/** Warns of credentials that stand in `env`, without showing their lines. The workflow has no mistakes. */
export function checkCredentials(report: Report, workflow: Workflow, catalog: ActionCatalog): void {
  const warn = (path: ValuePath, env: Step['env'], read: Names) => {
    for (const [name, value] of Object.entries(env ?? {})) {
      const text = credentialText(name, value)
      if (text === undefined) continue
      const short = secretWarnings(text).length > 0 ? '; it is too short to be masked in output' : ''
      const says = read.has(name)
        ? 'looks like a credential, and stands in clear in the run, which reads it itself (when, targets, outputs and the like)'
        : `looks like a credential, and stands in the file${short}`
      report.say([...path, 'env', name], says, {
        severity: 'warning',
        at: 'key',
        confidential: true,
        hint: `keep it with errand secrets set ${name}, and name it in the steps: secrets: [${name}]; what is no secret can be an input`,
      })
    }
  }
  warn([], workflow.env, readByEngine(workflow, catalog))
  for (const list of ['steps', 'finally'] as const)
    for (const [index, step] of (workflow[list] ?? []).entries())
      warn([list, index], step.env, readOfStep(step, catalog))
}

/** The value where a variable of `env` looks like a credential that stands there itself, and not as another variable's. */
export function credentialText(name: string, value: unknown): string | undefined {
  if (!isCredentialName(name) || (typeof value !== 'string' && typeof value !== 'number')) return undefined
  const text = String(value)
  if (text === '' || text.includes('\0') || variableUses(text).length > 0) return undefined
  return fillText(text, lookupIn({}))
}

/** Variables that the engine needs the values of: it decides by them, fills them in itself, or a step sets them. */
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

/** The same, of the step alone. */
export function readOfStep(step: Step, catalog: ActionCatalog): Names {
  const read = new Set(usesIn([step.when, step.targets, step.foreach]))
  for (const { action, args } of [step, ...(step.rollback ? [step.rollback] : [])]) {
    const { workflow: _, ...texts } = args
    // What vars.set sets is a variable of the run.
    const isRead = catalog[action]?.place === 'engine' || action === 'vars.set'
    const own = isRead ? texts : { output_path: args.output_path }
    for (const name of usesIn(own)) read.add(name)
  }
  const env = Object.entries(step.env ?? {}).reverse()
  for (const [name, value] of env) if (read.has(name)) for (const other of usesIn(value)) read.add(other)
  for (const name of Object.keys(secretUses(step.secrets ?? []))) read.delete(name)
  return read
}

/** Names of the variables that the texts of a value use. */
export function usesIn(value: unknown): string[] {
  const names: string[] = []
  eachUse([], value, { has: () => true }, (_path, _index, name) => names.push(name))
  return names
}
