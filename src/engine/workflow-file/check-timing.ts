import type { ActionCatalog } from '../../contract/actions.ts'
import { secretUses } from '../../contract/step-secrets.ts'
import type { Step, Workflow } from '../../contract/workflow.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './problems.ts'
import { eachUse, knownExports, shellReads } from './variable-uses.ts'

/** Arguments that a shell reads. */
const shellArgs: Readonly<Record<string, string>> = {
  'cmd.run': 'cmd',
  'shell.run': 'script',
  'agent.run': 'verify',
}

/**
 * Warns of a step of a graph that reads what another step sets, when neither needs the other: their order, and so the
 * value that is read, is then random. Expects a valid workflow.
 */
export function checkTiming(report: Report, workflow: Workflow, catalog: ActionCatalog): void {
  const { steps } = workflow
  if (steps.every(({ needs }) => needs === undefined)) return
  const setters = settersOf(workflow)
  if (setters.size === 0) return
  const positions = new Map(steps.map(({ name }, index) => [name, index]))
  const { before, after } = stepOrder(
    steps.map(({ needs = [] }) => needs.map((name) => positions.get(name)!)),
  )
  for (const [index, step] of steps.entries()) {
    const reported = new Set<string>()
    eachRead(['steps', index], step, setters, catalog, (path, at, name) => {
      const open = setters.get(name)! & ~(before[index]! | after[index]! | bit(index))
      if (open === 0n || reported.has(name)) return
      reported.add(name)
      const setter = JSON.stringify(steps[first(open)]!.name)
      const needs = step.needs?.length ? `add ${setter} to its needs` : `write needs: [${setter}]`
      report.say(
        path,
        `reads ${name}, which step ${setter} sets, but the order of the two steps is undefined`,
        {
          severity: 'warning',
          at,
          hint: `${needs}, or rename one of the variables`,
        },
      )
    })
  }
}

/** Returns, for each variable without a value at the start, the steps that set it. */
function settersOf({ steps, inputs = {}, env = {} }: Workflow): Map<string, bigint> {
  const setters = new Map<string, bigint>()
  for (const [index, step] of steps.entries())
    for (const name of knownExports(step))
      if (!Object.hasOwn(inputs, name) && !Object.hasOwn(env, name))
        setters.set(name, (setters.get(name) ?? 0n) | bit(index))
  return setters
}

type Names = { has(name: string): boolean }

/** Yields each of these variables that a step reads from the run; the step's own variables hide the run's. */
function eachRead(
  path: ValuePath,
  step: Step,
  names: Names,
  catalog: ActionCatalog,
  found: (path: ValuePath, at: number, name: string) => void,
): void {
  for (const key of ['targets', 'foreach'] as const) eachUse([...path, key], step[key], names, found)
  const item = [...Object.keys(step.matrix ?? {}), ...(step.foreach === undefined ? [] : ['ITEM'])]
  const ofInstance = new Set([...item, ...Object.keys(step.env ?? {})])
  const ofRun: Names = { has: (name) => names.has(name) && !ofInstance.has(name) }
  eachUse([...path, 'when'], step.when, ofRun, found)
  const own = new Set([...item, ...Object.keys(secretUses(step.secrets ?? []))])
  const others: Names = { has: (name) => names.has(name) && !own.has(name) }
  for (const [name, value] of Object.entries(step.env ?? {})) {
    eachUse([...path, 'env', name], value, others, found)
    own.add(name)
  }
  const { raw } = catalog[step.action]!
  for (const [key, value] of Object.entries(step.args))
    if (!raw.includes(key)) eachUse([...path, 'args', key], value, others, found)
    else if (shellArgs[step.action] === key) eachShellRead([...path, 'args', key], value, others, found)
}

function eachShellRead(
  path: ValuePath,
  value: unknown,
  names: Names,
  found: (path: ValuePath, at: number, name: string) => void,
): void {
  if (typeof value === 'string') {
    for (const { name, index } of shellReads(value)) if (names.has(name)) found(path, index, name)
  } else
    for (const [index, text] of (value as string[]).entries())
      eachShellRead([...path, index], text, names, found)
}

/** Sets of steps, as bits by position: a graph may have thousands. */
interface StepOrder {
  /** Steps that have ended when a step begins, by its position. */
  before: readonly bigint[]
  /** Steps that begin after a step has ended, by its position. */
  after: readonly bigint[]
}

const bit = (position: number): bigint => 1n << BigInt(position)

/** Returns the first member of a set that is not empty. */
const first = (steps: bigint): number => (steps & -steps).toString(2).length - 1

/** `needs`: for each step the positions of those it needs, without a circle. */
function stepOrder(needs: readonly (readonly number[])[]): StepOrder {
  const dependents: number[][] = needs.map(() => [])
  for (const [step, own] of needs.entries()) for (const need of own) dependents[need]!.push(step)
  const open = needs.map((own) => own.length)
  const sorted = [...needs.keys()].filter((step) => open[step] === 0)
  for (const step of sorted) for (const next of dependents[step]!) if (--open[next]! === 0) sorted.push(next)
  return { before: reach(needs, sorted), after: reach(dependents, sorted.reverse()) }
}

/**
 * Returns everything that the edges lead to, directly or indirectly; in `sorted`, targets come before the steps that
 * lead to them.
 */
function reach(edges: readonly (readonly number[])[], sorted: readonly number[]): bigint[] {
  const reached = edges.map(() => 0n)
  for (const step of sorted) for (const next of edges[step]!) reached[step]! |= reached[next]! | bit(next)
  return reached
}
