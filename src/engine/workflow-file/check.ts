import type { ActionCatalog } from '../../contract/actions.ts'
import { Input, Workflow } from '../../contract/workflow.ts'
import { checkBoxes } from './check-box.ts'
import { checkElsewhere } from './check-elsewhere.ts'
import { checkCredentials, checkSecrets } from './check-secrets.ts'
import { type CheckedArgs, checkAgents, checkStep, checkTemplates } from './check-step.ts'
import { checkTiming } from './check-timing.ts'
import { checkCheckout, withCheckoutStep } from './checkout-step.ts'
import { didYouMean } from './hints/did-you-mean.ts'
import { isScalar, misfit } from './inputs.ts'
import { describe, findingsOf, safeParse } from './issue-messages.ts'
import { asList, asMap, asText, entriesOf, own } from './loose-values.ts'
import { parseYaml } from './parse.ts'
import type { Locate } from './positions.ts'
import { type Problem, Report, sortProblems } from './problems.ts'
import { inlineWorkflow, type SubWorkflows, subWorkflows } from './sub-workflows.ts'

/**
 * Length from which a program that serves many users checks a file in a thread: checking it in place would block
 * everything else for too long.
 */
export const ASIDE_LENGTH = 64 * 1024

export interface CheckOptions {
  catalog: ActionCatalog
  /** The file's name, as problems show it. */
  file?: string
  /** Reads a file that `workflow.run` names, by its path from this file's folder. Throws when it cannot. */
  readFile?: (path: string) => string
  /** Known agents in addition to those that ship with Errand; absent: their names are not checked. */
  agents?: readonly string[]
  /** Names that targets may have in addition to those of the inventory. */
  hosts?: readonly string[]
  /** Whether to warn of what the file finds only on this machine, and not through a hub. */
  warnsOfHub?: boolean
}

/** Has a `workflow` unless a problem is an error. */
export interface Checked {
  workflow?: Workflow
  problems: Problem[]
}

/**
 * Checks a workflow file and reports all mistakes at once, with their positions. Reads sub-workflow files and inlines
 * them.
 */
export function parseWorkflow(text: string, options: CheckOptions): Checked {
  const { value, locate, problems } = parseYaml(text)
  if (problems.length > 0)
    return { problems: problems.map((problem) => ({ ...problem, file: options.file })) }
  return checkWorkflow(value, { ...options, locate })
}

/** Checks a workflow that is a value already. Returns a new value, with all defaults. */
export function checkWorkflow(value: unknown, options: CheckOptions & { locate?: Locate }): Checked {
  const report = new Report(value, { file: options.file, locate: options.locate })
  const workflow = checkInto(report, value, options.catalog, subWorkflows(options, checkInto))
  if (options.warnsOfHub && workflow !== undefined && !report.failed) checkElsewhere(report, workflow)
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
  checkBoxes(report, value)
  checkCheckout(report, value, catalog)
  checkSecrets(report, value, catalog)
  if (subs.agents) checkAgents(report, value, subs.agents)
  if (!parsed.success) return undefined
  if (!report.failed) {
    checkTiming(report, parsed.data, catalog)
    checkCredentials(report, parsed.data, catalog)
  }
  return report.failed ? parsed.data : withCheckoutStep(parsed.data, catalog)
}

function putArgs(step: Workflow['steps'][number], checked: CheckedArgs): void {
  if (checked.args) step.args = checked.args
  if (checked.rollback && step.rollback) step.rollback.args = checked.rollback
}

function isWorkflowMap(report: Report, value: unknown): boolean {
  if (asMap(value)) return true
  const hint = Array.isArray(value)
    ? 'start with version: v0.1 and name: demo, and put the list of steps under steps:'
    : 'start with version: v0.1, then name: demo and steps:'
  const empty = value === null || value === undefined
  report.add(
    [],
    empty
      ? 'the workflow is empty'
      : `a workflow must be a map of keys and values, but this is ${describe(value)}`,
    { hint },
  )
  return false
}

/** Returns the names of the hosts; undefined when the inventory is broken, since the targets cannot be checked then. */
function hostNames(workflow: unknown, more: readonly string[] = []): Set<string> | undefined {
  const inventory = own(workflow, 'inventory')
  if (inventory === undefined) return new Set(more)
  const hosts = asMap(own(inventory, 'hosts'))
  return hosts && new Set([...Object.keys(hosts), ...more])
}

/** Checks that names are unique over all steps, and that needs name other main steps, without a circle. */
function checkNamesAndNeeds(report: Report, workflow: unknown): void {
  const main = asList(own(workflow, 'steps'))
  const last = asList(own(workflow, 'finally'))
  const names = new Map<string, string>()
  for (const [list, steps] of [
    ['steps', main],
    ['finally', last],
  ] as const) {
    for (const [index, step] of steps.entries()) {
      const name = asText(own(step, 'name'))
      if (name === undefined) continue
      const first = names.get(name)
      if (first === undefined) names.set(name, `${list}[${index}]`)
      else {
        const message = `name ${JSON.stringify(name)} is already used by ${first}`
        report.add([list, index, 'name'], message, {
          hint: 'step names must be unique across steps and finally',
        })
      }
    }
  }
  for (const [index, step] of last.entries()) {
    if (own(step, 'needs') !== undefined) {
      const hint = 'finally steps run one after another, after all others; leave needs out'
      report.say(['finally', index, 'needs'], 'cannot be used', { at: 'key', hint })
    }
  }
  checkNeeds(report, main, names)
}

function checkNeeds(report: Report, main: readonly unknown[], names: ReadonlyMap<string, string>): void {
  const positions = new Map<string, number>()
  for (const [index, step] of main.entries()) {
    const name = asText(own(step, 'name'))
    if (name !== undefined && !positions.has(name)) positions.set(name, index)
  }
  const edges = main.map((step, index) => {
    const seen = new Set<unknown>()
    return asList(own(step, 'needs')).flatMap((need, at) => {
      const path = ['steps', index, 'needs', at] as const
      if (typeof need !== 'string') return []
      const quoted = JSON.stringify(need)
      if (seen.has(need)) report.say(path, `names ${quoted} twice`, { hint: 'name it once' })
      seen.add(need)
      const position = positions.get(need)
      if (need === own(step, 'name'))
        report.say(path, 'names the step itself', { hint: 'a step cannot wait for itself' })
      else if (position !== undefined) return [position]
      else if (names.has(need))
        report.say(path, `names ${quoted}, which is a finally step`, {
          hint: 'finally steps run after all others',
        })
      else
        report.say(path, `names ${quoted}, but there is no such step`, {
          hint: () =>
            didYouMean(
              need,
              positions.keys(),
              `name a step: ${[...positions.keys()].slice(0, 10).join(', ')}`,
            ),
        })
      return []
    })
  })
  checkNeededFiles(report, main, positions, edges)
  for (const circle of circles(edges)) {
    const label = (index: number) => asText(own(main[index], 'name')) ?? String(index + 1)
    const shown = circle.length > 12 ? [...circle.slice(0, 11), circle.at(-1)!] : circle
    const text = [...shown, shown[0]!].map(label).join(' -> ')
    const hint = 'remove one of these needs'
    report.add(['steps', circle[0]!, 'needs'], `these steps wait for each other: ${text}`, {
      at: 'key',
      hint,
    })
  }
}

/**
 * Checks that files come from main steps that are over by then: those before it in a list, or that it needs in a graph.
 */
function checkNeededFiles(
  report: Report,
  main: readonly unknown[],
  positions: ReadonlyMap<string, number>,
  edges: readonly (readonly number[])[],
): void {
  const isGraph = main.some((step) => own(step, 'needs') !== undefined)
  for (const [index, step] of main.entries())
    for (const [at, one] of asList(own(step, 'needs_files')).entries()) {
      const from = asText(own(one, 'step'))
      if (from === undefined) continue
      const position = positions.get(from)
      const path = ['steps', index, 'needs_files', at, 'step'] as const
      if (position === undefined)
        report.say(path, `names ${JSON.stringify(from)}, but there is no such step`, {
          hint: () => didYouMean(from, positions.keys(), 'name an earlier step'),
        })
      else if (isGraph ? !leadsTo(edges, index, position) : position >= index)
        report.say(path, `names ${JSON.stringify(from)}, which does not run before this step`, {
          hint: isGraph ? `write needs: [${from}]` : 'move that step before this one',
        })
    }
}

function leadsTo(edges: readonly (readonly number[])[], from: number, to: number): boolean {
  const seen = new Set<number>()
  for (const waiting = [...edges[from]!]; waiting.length > 0; ) {
    const next = waiting.pop()!
    if (next === to) return true
    if (seen.has(next)) continue
    seen.add(next)
    waiting.push(...edges[next]!)
  }
  return false
}

/** Returns one circle for each edge that closes one, found depth first; each node is entered once. */
function circles(edges: readonly (readonly number[])[]): number[][] {
  const found: number[][] = []
  const done = new Set<number>()
  for (const start of edges.keys()) {
    const path: number[] = []
    const placeOnPath = new Map<number, number>()
    const next: number[] = []
    const enter = (node: number) => {
      placeOnPath.set(node, path.length)
      path.push(node)
      next.push(0)
    }
    if (!done.has(start)) enter(start)
    while (path.length > 0) {
      const node = path.at(-1)!
      const to = edges[node]![next[next.length - 1]!++]
      if (to === undefined) {
        done.add(node)
        placeOnPath.delete(node)
        path.pop()
        next.pop()
      } else if (placeOnPath.has(to)) found.push(path.slice(placeOnPath.get(to)))
      else if (!done.has(to)) enter(to)
    }
  }
  return found
}

/** Checks that choices fit the type, and the default fits both. */
function checkInputs(report: Report, workflow: unknown): void {
  for (const [name, input] of entriesOf(own(workflow, 'inputs'))) {
    const type = Input.shape.type.safeParse(own(input, 'type'))
    if (!type.success) continue
    const choices = asList(own(input, 'enum'))
    for (const [index, choice] of choices.entries()) {
      const wrong = isScalar(choice) ? misfit(choice, { type: type.data }) : undefined
      if (wrong)
        report.say(['inputs', name, 'enum', index], wrong, { hint: `the input's type is ${type.data}` })
    }
    const fallback = own(input, 'default')
    if (!isScalar(fallback)) continue
    const scalars = choices.filter(isScalar)
    const wrong = misfit(fallback, { type: type.data, enum: scalars.length > 0 ? scalars : undefined })
    if (wrong) report.say(['inputs', name, 'default'], wrong)
  }
}
