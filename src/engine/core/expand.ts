import { ErrandError } from '../../contract/errors.ts'
import type { StepInstance } from '../../contract/events.ts'
import { DEFAULT_HOST, MAX_INSTANCES } from '../../contract/workflow.ts'
import { fillText, type Lookup } from '../workflow-file/template.ts'
import type { Plan, PlannedStep } from './plan.ts'

/**
 * Returns the instances of a step: each item or matrix combination on each target. Throws `ErrandError` for an unknown
 * target, a variable without a value, or too many instances.
 */
export function expand(plan: Plan, { step, place }: PlannedStep, lookup: Lookup): StepInstance[] {
  const hosts = place === 'engine' ? [DEFAULT_HOST] : targetsOf(plan, step.targets, lookup)
  const items = step.matrix
    ? combinations(step.matrix)
    : step.foreach === undefined
      ? [undefined]
      : itemsOf(step.foreach, lookup)
  if (hosts.length * items.length > MAX_INSTANCES)
    throw new ErrandError(
      'invalid_argument',
      `Step "${step.name}" would run ${hosts.length * items.length} times; the limit is ${MAX_INSTANCES}.`,
      { hint: 'Use fewer hosts, combinations or items, or split them over several steps.' },
    )
  return items.flatMap((vars) => hosts.map((host) => (vars ? { host, vars } : { host })))
}

function targetsOf(plan: Plan, targets: readonly string[] | undefined, lookup: Lookup): string[] {
  const known = plan.workflow.inventory?.hosts ?? {}
  const names = (targets ?? [DEFAULT_HOST]).map((target) => fillText(target, lookup))
  for (const name of names)
    if (name !== DEFAULT_HOST && !Object.hasOwn(known, name))
      throw new ErrandError('invalid_argument', `Target "${name}" is not in inventory.hosts.`, {
        hint: `Known hosts: ${Object.keys(known).join(', ') || 'none'}.`,
      })
  return [...new Set(names)]
}

function combinations(
  matrix: Record<string, readonly (string | number | boolean)[]>,
): Record<string, string>[] {
  let all: Record<string, string>[] = [{}]
  for (const [name, values] of Object.entries(matrix))
    all = all.flatMap((before) => values.map((value) => ({ ...before, [name]: String(value) })))
  return all
}

function itemsOf(
  foreach: string | readonly (string | number | boolean)[],
  lookup: Lookup,
): Record<string, string>[] {
  const items = typeof foreach === 'string' ? listIn(fillText(foreach, lookup)) : foreach
  return items.map((item) => ({ ITEM: typeof item === 'object' ? JSON.stringify(item) : String(item) }))
}

/** Parses a JSON list, or lines without the blank ones. */
function listIn(text: string): unknown[] {
  if (text.trimStart().startsWith('['))
    try {
      const parsed: unknown = JSON.parse(text)
      if (Array.isArray(parsed)) return parsed
    } catch (cause) {
      throw new ErrandError(
        'invalid_argument',
        `foreach begins with "[" but is not a valid JSON list: ${text.trim().slice(0, 60)}`,
        { hint: 'Write a complete list, such as ["a", "b"], or one item per line.', cause },
      )
    }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
