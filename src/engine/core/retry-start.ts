import { ErrandError } from '../../contract/errors.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { InstanceKey, RetryMarks, RetryRun } from '../../contract/runs/retry.ts'
import type { Plan } from './plan.ts'
import { isDone } from './retry.ts'
import type { InstanceState, RunState } from './state.ts'

/** The parts of a retry's record that say what it takes over, leaves out and runs. */
export type RetryStart = Pick<RunSpec, 'carried' | 'retry'>

/** An ended run that is to be retried. `undone`: names of the steps that have succeeded in runs that roll it back. */
export interface EndedRun {
  plan: Plan
  state: RunState
  undone: ReadonlySet<string>
}

/** The meaning of a name: a main step and, for a step of its sub-workflow, the rest of the name. */
interface Named {
  index: number
  rest?: string
}

const INNER = ' > '

/**
 * Works out what a retry takes over and runs. Throws `invalid_argument` for unknown steps and instances, and for
 * contradictory options.
 */
export function retryStart(run: EndedRun, request: RetryRun): RetryStart {
  checkShape(request)
  const choice = new Choice(run, request)
  const reused = choice.reused()
  const marks: RetryMarks = {
    asked: request,
    ...listed('run_anyway', choice.ownNames('run_anyway')),
    ...listed('skip', choice.ownNames('skip')),
    ...filled('kept', choice.storedResults()),
    ...filled('children', choice.children()),
  }
  choice.check(reused, marks)
  const isPlain = (request.only ?? 'all') === 'all' && Object.keys(marks).length === 1 && !named(request)
  if (isPlain) return {}
  return { carried: reused, retry: marks }
}

const named = ({ from, step }: RetryRun): string | undefined => from ?? step

const listed = (key: 'run_anyway' | 'skip', names: string[]) => (names.length > 0 ? { [key]: names } : {})
const filled = (key: 'kept' | 'children', record: object) =>
  Object.keys(record).length > 0 ? { [key]: record } : {}

function checkShape({ only, from, step, hosts, instances, run_anyway = [], skip = [] }: RetryRun): void {
  if ([only, from, step].filter((one) => one !== undefined).length > 1)
    refuse('"only", "from" and "step" cannot be combined.', 'Send one of them. Sending none means only: all.')
  if (step === undefined && (hosts ?? instances) !== undefined)
    refuse('"hosts" and "instances" apply to one step.', 'Name it with "step".')
  if (hosts !== undefined && instances !== undefined)
    refuse('"hosts" and "instances" cannot be combined.', 'Use one of them to select the instances.')
  const both = skip.find((name) => run_anyway.includes(name))
  if (both !== undefined)
    refuse(`Step "${both}" is in both skip and run_anyway.`, 'Name it in only one of them.')
  const target = from ?? step
  if (target !== undefined && skip.includes(target))
    refuse(`The retry is of step "${target}", so it cannot be skipped.`, 'Retry from the next step instead.')
}

/** Works out one retry. */
class Choice {
  readonly #run: EndedRun
  readonly #request: RetryRun
  readonly #target: Named | undefined
  /** Positions of the named step and of all that need it. */
  readonly #following: ReadonlySet<number>
  readonly #names: Record<'run_anyway' | 'skip', (Named & { name: string })[]>

  constructor(run: EndedRun, request: RetryRun) {
    this.#run = run
    this.#request = request
    const name = named(request)
    this.#target = name === undefined ? undefined : resolve(run.plan, name)
    this.#following = this.#target ? followers(run.plan, this.#target.index) : new Set()
    const all = (names: string[] = []) => names.map((one) => ({ name: one, ...resolve(run.plan, one) }))
    this.#names = { run_anyway: all(request.run_anyway), skip: all(request.skip) }
    this.#checkInstances()
  }

  ownNames(of: 'run_anyway' | 'skip'): string[] {
    return [...new Set(this.#names[of].filter(({ rest }) => rest === undefined).map(({ name }) => name))]
  }

  reused(): RunSpec['carried'] {
    if (this.#target === undefined && (this.#request.only ?? 'all') === 'all') return undefined
    const reused: NonNullable<RunSpec['carried']> = {}
    for (const { index, step } of this.#run.plan.main) {
      const taken = this.#instances(index).filter((_, position) => this.#isTaken(index, position))
      if (taken.length > 0)
        reused[step.name] = taken.map(({ host, vars, exports, child }) => ({
          ...{ host, vars, exports: exports ?? {} },
          ...(child === undefined ? {} : { child }),
        }))
    }
    return reused
  }

  /** Returns, for the retry of one step, the unrequested instances that did not succeed: they stay unchanged. */
  storedResults(): NonNullable<RetryMarks['kept']> {
    const results: NonNullable<RetryMarks['kept']> = {}
    if (this.#request.step === undefined) return results
    for (const { index, step } of this.#run.plan.main) {
      if (this.#isNamed(index)) continue
      const isTarget = index === this.#target!.index
      if (!isTarget && this.#following.has(index)) continue
      const { status, reason, message } = this.#run.state.main[index]!
      const instances = this.#instances(index).flatMap((one, position) => {
        if (isTarget && this.#isChosen(one, position)) return []
        if (one.status !== 'failed' && one.status !== 'canceled' && one.status !== 'interrupted') return []
        const { status, reason, message, child } = one
        return [{ ...keyOf(one), status, reason, message, child }]
      })
      if (status === 'success' || status === 'queued' || status === 'running' || status === 'waiting')
        continue
      if (isTarget && instances.length === 0) continue
      results[step.name] = { status, reason, message, instances }
    }
    return results
  }

  children(): NonNullable<RetryMarks['children']> {
    const children: NonNullable<RetryMarks['children']> = {}
    for (const { index, step } of this.#run.plan.main) {
      if (step.action !== 'workflow.run') continue
      const request = this.#requestOf(index)
      if (request === undefined) continue
      const again = this.#instances(index).flatMap((one, position) => {
        if (one.child === undefined || this.#isTaken(index, position)) return []
        if (one.status === 'success' && !this.#isDone(index, position)) return []
        return [{ ...keyOf(one), run_id: one.child, asked: request }]
      })
      if (again.length > 0) children[step.name] = again
    }
    return children
  }

  /** Throws for names that would change nothing. */
  check(reused: RunSpec['carried'], { children }: RetryMarks): void {
    const { plan } = this.#run
    const inner = [...Object.values(this.#names).flat(), ...(this.#target ? [this.#target] : [])]
    for (const { index, rest } of inner) {
      const { name } = plan.main[index]!.step
      if (rest !== undefined && children?.[name] === undefined)
        refuse(
          `This retry does not continue a sub-run of step "${name}", so "${rest}" in it cannot be named.`,
          `Name "${name}" itself.`,
        )
    }
    for (const { index, rest, name } of Object.values(this.#names).flat())
      if (rest === undefined) {
        const all = this.#instances(index).length
        if (all > 0 && reused?.[name]?.length === all)
          refuse(
            `The retry takes over the result of step "${name}", so it neither runs nor skips it.`,
            `Leave it out, or retry from "${name}".`,
          )
      }
    for (const { index, rest, name } of this.#names.run_anyway)
      if (rest === undefined && plan.main[index]!.when === undefined)
        refuse(`Step "${name}" has no "when", so it runs anyway.`, 'Leave it out of run_anyway.')
  }

  #instances(index: number): InstanceState[] {
    return this.#run.state.main[index]!.instances
  }

  #isDone(index: number, position: number): boolean {
    const { plan, state, undone } = this.#run
    return isDone(plan, state, undone, index, position)
  }

  #isNamed(index: number): boolean {
    return Object.values(this.#names).some((names) => names.some((one) => one.index === index))
  }

  #isTaken(index: number, position: number): boolean {
    const { only = 'all', from, step } = this.#request
    if (!this.#isDone(index, position)) return false
    if (this.#target === undefined) return only === 'failed'
    if (index === this.#target.index) {
      // A sub-run that succeeded stays untouched when another one did not.
      if (this.#target.rest !== undefined)
        return this.#instances(index).some((_, other) => !this.#isDone(index, other))
      return step !== undefined && !this.#isChosen(this.#instances(index)[position]!, position)
    }
    return from === undefined || !this.#following.has(index)
  }

  /**
   * Reports whether the retry of a single step covers this instance. For a name within a sub-workflow, hosts and
   * instances are those of the inner step.
   */
  #isChosen({ host }: InstanceState, position: number): boolean {
    const { hosts, instances } = this.#request
    if (this.#target!.rest !== undefined) return true
    return hosts?.includes(host) ?? instances?.includes(position) ?? true
  }

  #checkInstances(): void {
    const { step, hosts = [], instances = [] } = this.#request
    if (step === undefined || this.#target?.rest !== undefined) return
    const there = this.#instances(this.#target!.index)
    const known = [...new Set(there.map(({ host }) => host))]
    const host = hosts.find((one) => !known.includes(one))
    if (host !== undefined)
      refuse(
        `Step "${step}" has no instance on "${host}".`,
        known.length === 0 ? 'It never started.' : `It ran on ${shown(known)}.`,
      )
    const position = instances.find((one) => one >= there.length)
    if (position !== undefined)
      refuse(`Step "${step}" has no instance ${position}.`, `It has ${there.length}, numbered from 0.`)
  }

  /** Returns the retry to request of a step's sub-runs; undefined when they start from the beginning. */
  #requestOf(index: number): RetryRun | undefined {
    const { only = 'all', from, step, hosts, instances } = this.#request
    const inner = (of: 'run_anyway' | 'skip') => {
      const names = this.#names[of].flatMap((one) => (one.index === index && one.rest ? [one.rest] : []))
      return names.length > 0 ? { [of]: names } : {}
    }
    const names = { ...inner('run_anyway'), ...inner('skip') }
    const rest = this.#target?.index === index ? this.#target.rest : undefined
    if (rest !== undefined && from !== undefined) return { from: rest, ...names }
    if (rest !== undefined) return { step: rest, hosts, instances, ...names }
    const isWhole =
      this.#target === undefined
        ? only === 'all'
        : step === undefined
          ? this.#following.has(index)
          : index === this.#target.index
    if (!isWhole) return { only: 'failed', ...names }
    return Object.keys(names).length > 0 ? { only: 'all', ...names } : undefined
  }
}

/** Finds the step that a name means; `outer > inner` is a step of a sub-workflow. */
function resolve({ main }: Plan, name: string): Named {
  const exact = main.findIndex(({ step }) => step.name === name)
  if (exact >= 0) return { index: exact }
  let found: Named | undefined
  let longest = 0
  for (const { index, step } of main) {
    if (!name.startsWith(step.name + INNER) || step.name.length < longest) continue
    found = { index, rest: name.slice(step.name.length + INNER.length) }
    longest = step.name.length
  }
  if (found === undefined)
    refuse(
      `The run has no main step "${name}".`,
      `It has ${shown(main.map(({ step }) => step.name))}. Rollbacks and finally steps follow automatically.`,
    )
  if (main[found.index]!.step.action !== 'workflow.run')
    refuse(`Step "${main[found.index]!.step.name}" is not a sub-workflow.`, 'Name the step itself.')
  return found
}

/** Returns a main step with all that need it, directly or not. */
function followers({ main }: Plan, index: number): Set<number> {
  const found = new Set([index])
  for (const one of found) for (const next of main[one]!.dependents) found.add(next)
  return found
}

const keyOf = ({ host, vars }: InstanceState): InstanceKey => (vars ? { host, vars } : { host })

const shown = (names: readonly string[]): string =>
  `${names
    .slice(0, 20)
    .map((name) => `"${name}"`)
    .join(', ')}${names.length > 20 ? ' …' : ''}`

function refuse(message: string, hint: string): never {
  throw new ErrandError('invalid_argument', message, { hint })
}
