import type { InstanceKey, RetryRun, RetryStep } from '../../contract/runs/retry.ts'
import { expand } from './expand.ts'
import { InstanceSet } from './instance-set.ts'
import { failure, runLookup } from './lookup.ts'
import type { PlannedStep } from './plan.ts'
import type { EndedRun, RetryStart } from './retry-start.ts'

/** Most instances that a plan names: of one step, and of one run. */
const MAX_NAMED = { step: 20, run: 200 } as const

type Does = RetryStep['instances'][number]['does']

const order: readonly Does[] = ['again', 'kept', 'skipped', 'taken_over']

/** Predicts the steps of a retry, in the order of the file; `finally` steps always run. */
export function retrySteps({ plan, state }: EndedRun, { carried, retry }: RetryStart): RetryStep[] {
  const stuck = new Set<number>()
  const isStuck = ({ step, needs }: PlannedStep): boolean => {
    if (needs.some((need) => stuck.has(need))) return true
    const stored = retry?.kept?.[step.name]
    if (stored === undefined || step.continue_on_error) return false
    return stored.status === 'skipped' ? stored.reason !== 'condition' && stored.reason !== 'left_out' : true
  }
  // A step may appear before one that it needs, hence the repetition.
  for (let before = -1; before < stuck.size; ) {
    before = stuck.size
    for (const planned of plan.main) if (isStuck(planned)) stuck.add(planned.index)
  }
  const instancesOf = (planned: PlannedStep): InstanceKey[] | undefined => {
    const there = state[planned.phase][planned.index]?.instances ?? []
    if (there.length > 0) return there
    try {
      return expand(plan, planned, runLookup(plan, state, { run_id: '' }))
    } catch (error) {
      failure(error)
      return undefined
    }
  }
  const foreseen = (planned: PlannedStep, does: (instance: InstanceKey) => Does): RetryStep => {
    const known = instancesOf(planned)
    const all = (known ?? []).map(({ host, vars }) => ({ host, vars, does: does({ host, vars }) }))
    const count = (what: Does) => all.filter((one) => one.does === what).length
    const { name, targets, foreach } = planned.step
    const again = count('again')
    const isOpen = known === undefined || ((again > 0 || all.length === 0) && hangs(foreach, targets))
    return {
      step: name,
      phase: planned.phase,
      taken_over: count('taken_over'),
      again,
      kept: count('kept'),
      skipped: count('skipped'),
      conditional:
        (planned.when !== undefined && again > 0 && !retry?.run_anyway?.includes(name)) || undefined,
      unknown: isOpen || undefined,
      instances: all.sort((a, b) => order.indexOf(a.does) - order.indexOf(b.does)).slice(0, MAX_NAMED.step),
    }
  }
  const main = plan.main.map((planned) => {
    const { name } = planned.step
    const done = new InstanceSet(carried?.[name] ?? [])
    const stored = retry?.kept?.[name]
    const staying = new InstanceSet(stored?.instances ?? [])
    const isBlocked = planned.needs.some((need) => stuck.has(need))
    return foreseen(planned, (instance) => {
      if (done.take(instance)) return 'taken_over'
      if (isBlocked || staying.take(instance) || (stored && stored.instances.length === 0)) return 'kept'
      return retry?.skip?.includes(name) ? 'skipped' : 'again'
    })
  })
  return [...main, ...plan.finally.map((planned) => foreseen(planned, () => 'again'))]
}

/** Reports whether the hosts or items of a step are only known once earlier steps have run. */
const hangs = (foreach: unknown, targets: readonly string[] = []): boolean =>
  (typeof foreach === 'string' && foreach.includes('${')) || targets.some((one) => one.includes('${'))

/** Limits the instances to those that an answer may name, those of the first steps first. */
export function bounded(steps: readonly RetryStep[]): RetryStep[] {
  let left: number = MAX_NAMED.run
  return steps.map((step) => {
    const instances = step.instances.slice(0, left)
    left -= instances.length
    return { ...step, instances }
  })
}

/** Counts how many instances of the run itself are taken over, run again, are left unchanged and are skipped. */
export function totals(steps: readonly RetryStep[]) {
  const sum = (what: Does) => steps.reduce((all, step) => all + step[what], 0)
  return { taken_over: sum('taken_over'), again: sum('again'), kept: sum('kept'), skipped: sum('skipped') }
}

/** Returns the command that starts such a retry. */
export function retryCommand(runId: string, retry: RetryRun): string {
  const { only, from, step, hosts = [], instances = [], run_anyway = [], skip = [] } = retry
  const option = (name: string) => (value: string | number | undefined) =>
    value === undefined
      ? []
      : [`--${name}${String(value).startsWith('-') ? '=' : ' '}${quoted(String(value))}`]
  return [
    ...['errand', 'runs', 'retry', runId],
    ...(only === 'failed' ? ['--failed'] : []),
    ...option('from')(from),
    ...option('step')(step),
    ...hosts.flatMap(option('host')),
    ...instances.flatMap(option('instance')),
    ...run_anyway.flatMap(option('run-anyway')),
    ...skip.flatMap(option('skip')),
  ].join(' ')
}

/** Quotes a text as one word for a POSIX shell. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
