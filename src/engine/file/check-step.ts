import type { ActionCatalog } from '../../contract/actions.ts'
import { DEFAULT_HOST, MAX_INSTANCES } from '../../contract/workflow.ts'
import { checkAction, checkEngineStep, checkExpectedVars } from './check-action.ts'
import { checkArgs, isTemplate } from './check-args.ts'
import { checkOutputs, checkTemplates, checkWhen } from './check-texts.ts'
import { didYouMean } from './did-you-mean.ts'
import { asList, asMap, entriesOf, own } from './loose.ts'
import type { ValuePath } from './positions.ts'
import type { Report } from './report.ts'

/** A step's arguments, checked and with their defaults. */
export interface CheckedArgs {
  args?: Record<string, unknown>
  rollback?: Record<string, unknown>
}

/** All of a step that its own schema cannot say. `hosts` are the inventory's, undefined where that is broken. */
export function checkStep(
  report: Report,
  path: ValuePath,
  step: unknown,
  catalog: ActionCatalog,
  hosts: ReadonlySet<string> | undefined,
): CheckedArgs {
  checkTargets(report, [...path, 'targets'], own(step, 'targets'), hosts)
  checkWhen(report, [...path, 'when'], own(step, 'when'))
  checkTemplates(report, [...path, 'env'], own(step, 'env'))
  checkTemplates(report, [...path, 'targets'], own(step, 'targets'))
  checkOutputs(report, [...path, 'outputs'], own(step, 'outputs'))
  checkInstances(report, path, step)

  const name = own(step, 'action')
  const action = checkAction(report, [...path, 'action'], name, catalog)
  if (action?.place === 'engine') checkEngineStep(report, path, step, String(name))
  if (action) checkExpectedVars(report, path, step, String(name))
  return {
    args: action && checkArgs(report, [...path, 'args'], own(step, 'args'), action, String(name)),
    rollback: checkRollback(report, [...path, 'rollback'], own(step, 'rollback'), catalog),
  }
}

function checkRollback(report: Report, path: ValuePath, rollback: unknown, catalog: ActionCatalog) {
  if (rollback !== undefined && path[0] === 'finally') {
    report.say(path, 'has no effect', { at: 'key', hint: 'finally steps are not rolled back; leave it out' })
  }
  const action = checkAction(report, [...path, 'action'], own(rollback, 'action'), catalog)
  if (action?.place === 'engine') {
    const message = `cannot be ${String(own(rollback, 'action'))}, which runs on no host`
    report.say([...path, 'action'], message, { hint: 'a rollback runs where its step ran' })
    return undefined
  }
  return (
    action &&
    checkArgs(report, [...path, 'args'], own(rollback, 'args'), action, String(own(rollback, 'action')))
  )
}

function checkTargets(
  report: Report,
  path: ValuePath,
  targets: unknown,
  hosts: ReadonlySet<string> | undefined,
): void {
  const seen = new Set<unknown>()
  for (const [index, target] of asList(targets).entries()) {
    if (typeof target !== 'string' || target === '' || isTemplate(target)) continue
    const quoted = JSON.stringify(target)
    if (seen.has(target))
      report.say([...path, index], `names ${quoted} a second time`, { hint: 'name it once' })
    seen.add(target)
    if (hosts === undefined || target === DEFAULT_HOST || hosts.has(target)) continue
    report.say([...path, index], `names ${quoted}, which is not in inventory.hosts`, {
      hint: () =>
        target === 'all' || target === '*'
          ? `name each: targets: [${[...hosts].join(', ') || DEFAULT_HOST}]`
          : didYouMean(target, [DEFAULT_HOST, ...hosts], hostHint(target)),
    })
  }
}

const hostHint = (name: string): string =>
  `write inventory: {hosts: {${/^[\w.-]+$/.test(name) ? name : 'web'}: {address: "http://10.0.0.5:7072"}}} at the top level`

/** `matrix` and `foreach` exclude each other, and a step has a bounded number of instances. */
function checkInstances(report: Report, path: ValuePath, step: unknown): void {
  const matrix = own(step, 'matrix')
  const foreach = own(step, 'foreach')
  if (typeof foreach === 'string') checkTemplates(report, [...path, 'foreach'], foreach)
  if (matrix !== undefined && foreach !== undefined) {
    const hint = 'keep one; a matrix of one variable is a foreach with a name'
    report.say([...path, 'foreach'], 'cannot stand beside matrix', { at: 'key', hint })
  }
  const items = asMap(matrix)
    ? entriesOf(matrix).reduce((product, [, values]) => product * Math.max(1, asList(values).length), 1)
    : asList(foreach).length
  const times = items * Math.max(1, asList(own(step, 'targets')).length)
  if (times <= MAX_INSTANCES) return
  const key = matrix === undefined ? 'foreach' : 'matrix'
  report.say([...path, key], `makes the step run ${times} times`, {
    at: 'key',
    hint: `at most ${MAX_INSTANCES} are possible`,
  })
}
