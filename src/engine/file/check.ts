import type { ActionCatalog } from '../../contract/actions.ts'
import { Workflow } from '../../contract/workflow.ts'
import { checkAgents } from './check-agents.ts'
import { checkCredentials } from './check-credentials.ts'
import { checkInputs } from './check-inputs.ts'
import { checkNamesAndNeeds } from './check-needs.ts'
import { checkSecrets } from './check-secrets.ts'
import { type CheckedArgs, checkStep } from './check-step.ts'
import { checkTemplates } from './check-texts.ts'
import { checkTiming } from './check-timing.ts'
import { asList, asMap, own } from './loose.ts'
import { parseYaml } from './parse.ts'
import type { Locate } from './positions.ts'
import { type Problem, sortProblems } from './problem.ts'
import { Report } from './report.ts'
import { safeParse } from './safe-parse.ts'
import { describe, findingsOf } from './sentences.ts'
import { inlineWorkflow, type SubWorkflows, subWorkflows } from './sub-workflows.ts'

export interface CheckOptions {
  catalog: ActionCatalog
  /** The file's name, as problems show it. */
  file?: string
  /** Reads the text of a file that `workflow.run` names, by its path from this file's folder. Throws where it cannot. */
  readFile?: (path: string) => string
  /** Agents that are known beside those that ship with Errand; absent: their names are not looked at. */
  agents?: readonly string[]
  /** Names that targets may have beside those of the inventory. */
  hosts?: readonly string[]
}

/** With `workflow` unless a problem is an error. */
export interface Checked {
  workflow?: Workflow
  problems: Problem[]
}

/** Checks a workflow file: all mistakes at once, with their places. Files of sub-workflows are read and put in. */
export function parseWorkflow(text: string, options: CheckOptions): Checked {
  const { value, locate, problems } = parseYaml(text)
  if (problems.length > 0)
    return { problems: problems.map((problem) => ({ ...problem, file: options.file })) }
  return checkWorkflow(value, { ...options, locate })
}

/** Checks a workflow that is a value already. The answer is a new value, with all defaults. */
export function checkWorkflow(value: unknown, options: CheckOptions & { locate?: Locate }): Checked {
  const report = new Report(value, { file: options.file, locate: options.locate })
  const workflow = checkInto(report, value, options.catalog, subWorkflows(options, checkInto))
  return { workflow: report.failed ? undefined : workflow, problems: sortProblems(report.problems) }
}

function checkInto(
  report: Report,
  value: unknown,
  catalog: ActionCatalog,
  subs: SubWorkflows,
): Workflow | undefined {
  if (!isWorkflowMap(report, value)) return undefined
  const parsed = safeParse(Workflow, value)
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, Workflow, value, 'file')) report.found(finding)

  checkInputs(report, value)
  checkNamesAndNeeds(report, value)
  for (const key of ['env', 'outputs'] as const) checkTemplates(report, [key], own(value, key))
  checkTemplates(report, ['concurrency', 'group'], own(own(value, 'concurrency'), 'group'))

  const hosts = hostNames(value, subs.hosts)
  for (const list of ['steps', 'finally'] as const) {
    for (const [index, step] of asList(own(value, list)).entries()) {
      const path = [list, index]
      const checked = checkStep(report, path, step, catalog, hosts)
      if (own(step, 'action') === 'workflow.run' && checked.args) {
        checked.args = inlineWorkflow(report, [...path, 'args'], checked.args, catalog, subs)
      }
      if (parsed.success) putArgs(parsed.data[list]![index]!, checked)
    }
  }
  checkSecrets(report, value, catalog)
  if (subs.agents) checkAgents(report, value, subs.agents)
  if (!parsed.success) return undefined
  if (!report.failed) {
    checkTiming(report, parsed.data, catalog)
    checkCredentials(report, parsed.data, catalog)
  }
  return parsed.data
}

function putArgs(step: Workflow['steps'][number], checked: CheckedArgs): void {
  if (checked.args) step.args = checked.args
  if (checked.rollback && step.rollback) step.rollback.args = checked.rollback
}

function isWorkflowMap(report: Report, value: unknown): boolean {
  if (asMap(value)) return true
  const hint = Array.isArray(value)
    ? 'begin with version: v0.1 and name: demo; the list of steps stands under steps:'
    : 'begin with version: v0.1, then name: demo and steps:'
  const empty = value === null || value === undefined
  report.add(
    [],
    empty
      ? 'the workflow is empty'
      : `a workflow is a map of keys and values, but this is ${describe(value)}`,
    { hint },
  )
  return false
}

/** Undefined where the inventory is broken: what targets name cannot be told then. */
function hostNames(workflow: unknown, more: readonly string[] = []): Set<string> | undefined {
  const inventory = own(workflow, 'inventory')
  if (inventory === undefined) return new Set(more)
  const hosts = asMap(own(inventory, 'hosts'))
  return hosts && new Set([...Object.keys(hosts), ...more])
}
