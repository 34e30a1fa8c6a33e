import type { QueryClient } from '@tanstack/react-query'
import { countOf, failedQuery, isWhole } from '../data/instances.ts'
import { type Instance, type RunDetail, type Shown, type Step, shownStep } from '../data/runs.ts'

/** An instance of a step, as the list shows it. */
export interface InstanceRef {
  step: Step
  instance: Instance
  index: number
  /** Set if the step has no instances: the reference then stands for the step itself. */
  bare?: true
}

/** Returns the name of a step in an address; a rollback is named after the step that it undoes. */
const stepName = ({ step, phase }: Step): string => (phase === 'rollback' ? `rollback:${step}` : step)

/** Returns the name of an instance in an address: a step, its host, and the instance's index if there are several. */
export function instanceName({ step, instance, index }: InstanceRef): string {
  const name = stepName(step)
  if (isWhole(step) && step.instances.length <= 1) return name
  const alike = !isWhole(step) || step.instances.filter(({ host }) => host === instance.host).length > 1
  return `${name}@${instance.host}${alike ? `!${index}` : ''}`
}

/** Returns the label that tells an instance from its neighbours: its host and the values that vary. */
export function instanceWord({ instance }: Pick<InstanceRef, 'instance'>): string {
  const vars = Object.entries(instance.vars ?? {}).map(([name, value]) =>
    name === 'ITEM' ? value : `${name}=${value}`,
  )
  return (instance.host === 'local' && vars.length > 0 ? vars : [instance.host, ...vars]).join(' ')
}

/** Returns the label of a step that leads into its sub-run, with the instance if there are several. */
export const levelWord = (ref: InstanceRef): string =>
  countOf(ref.step) > 1 ? `${ref.step.step}, ${instanceWord(ref)}` : ref.step.step

/** Returns the instances of a step that came with its run. */
export const instancesOf = (step: Step): InstanceRef[] =>
  step.instances.map((instance, at) => ({ step, instance, index: instance.index ?? at }))

const isBad = ({ status }: Instance) => status === 'failed' || status === 'interrupted'

/**
 * Returns the instance of a step that opens first: the first failure, the first instance, or the step itself if it has
 * none.
 */
export function firstOf(step: Step): InstanceRef {
  const refs = instancesOf(step)
  const { status, reason, message } = step
  return (
    refs.find(({ instance }) => isBad(instance)) ??
    refs[0] ?? { step, instance: { host: '', status, reason, message, attempts: [] }, index: 0, bare: true }
  )
}

/** An instance that is named and did not come with its run. */
export interface UnloadedInstance {
  step: Step
  host: string
  index: number | undefined
}

/** Finds the step that a name means. The name of a step in a sub-run follows ` > `; `3` means the third step. */
export function headOf(
  steps: readonly Step[],
  name: string,
): { head: InstanceRef | UnloadedInstance; rest: string | undefined } | undefined {
  const whole = instanceNamed(steps, name)
  if (whole !== undefined) return { head: whole, rest: undefined }
  for (let at = name.indexOf(' > '); at > 0; at = name.indexOf(' > ', at + 1)) {
    const head = instanceNamed(steps, name.slice(0, at))
    if (head !== undefined) return { head, rest: name.slice(at + 3) }
  }
  return undefined
}

function instanceNamed(steps: readonly Step[], name: string): InstanceRef | UnloadedInstance | undefined {
  const numbered = /^\d+$/.test(name) && !steps.some(({ step }) => step === name)
  const third = numbered ? steps[Number(name) - 1] : undefined
  const exact =
    third ?? steps.find((step) => stepName(step) === name || `${step.phase}:${step.step}` === name)
  if (exact !== undefined) return firstOf(exact)
  for (const step of steps) {
    const own = stepName(step)
    if (!name.startsWith(`${own}@`)) continue
    const [, host, number] = /^(.*?)(?:!(\d+))?$/s.exec(name.slice(own.length + 1))!
    const index = number === undefined ? undefined : Number(number)
    const ref = instancesOf(step).find(
      (one) => one.instance.host === host && (index === undefined || one.index === index),
    )
    if (ref !== undefined) return ref
    if (!isWhole(step)) return { step, host: host!, index }
  }
  return undefined
}

/** Returns the instance of an attempt, if it came with the run. */
export const instanceOfAttempt = (steps: readonly Step[], attempt: number): InstanceRef | undefined =>
  steps
    .flatMap(instancesOf)
    .find(({ instance }) => instance.attempts.some(({ number }) => number === attempt))

/** Returns the failed instances that came with the run, in the order of the steps. */
export function failedInstances(steps: readonly Step[]): InstanceRef[] {
  return steps.flatMap(instancesOf).filter(({ instance }) => isBad(instance))
}

/** Returns all failed instances in the order of the steps; requests those that did not come with the run. */
export async function allFailedInstances(
  client: QueryClient,
  { run_id, steps }: RunDetail,
): Promise<InstanceRef[]> {
  const each = steps.map(async (step) => {
    const here = failedInstances([step])
    const count = countOf(step, 'failed', 'interrupted')
    if (here.length >= count) return here
    const all = await client.fetchQuery(failedQuery(run_id, step, count))
    return all.map((instance) => ({ step, instance, index: instance.index }))
  })
  return (await Promise.all(each)).flat()
}

const began = ({ step }: InstanceRef) => step.started_at ?? ''

/**
 * Returns the instance that opens first: the first failure, a question, the latest running instance, or else the latest
 * that ran.
 */
export function firstInstance(steps: readonly Step[]): InstanceRef | undefined {
  const all = steps.flatMap(instancesOf)
  const ended = ({ step, instance }: InstanceRef) =>
    instance.attempts.at(-1)?.finished_at ?? step.finished_at ?? ''
  const broken = all
    .filter(({ instance }) => isBad(instance))
    .sort((a, b) => ended(a).localeCompare(ended(b)))
  const isAsking = all.find((ref) => instanceShown(ref) === 'asks')
  const latest = (refs: InstanceRef[]) => refs.sort((a, b) => began(a).localeCompare(began(b))).at(-1)
  const running = all.filter(({ instance }) => instance.status === 'running' || instance.status === 'waiting')
  const done = all.filter(({ instance }) => instance.attempts.length > 0)
  return broken[0] ?? isAsking ?? latest(running) ?? latest(done) ?? all[0]
}

export function instanceShown({ step, instance }: InstanceRef): Shown {
  if (instance.asks) return 'asks'
  return shownStep({ status: instance.status, waiting: instance.waiting, approval: step.approval })
}

/** Statuses in the order in which they need attention. */
export const statusOrder: readonly Shown[] = [
  'failed',
  'interrupted',
  'asks',
  'running',
  'room',
  'waiting',
  'canceled',
  'skipped',
  'ahead',
  'success',
]

/** A step with more instances than this gets a map. */
export const MAP_OVER = 200
