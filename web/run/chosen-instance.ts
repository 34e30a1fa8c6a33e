import type { QueryClient } from '@tanstack/react-query'
import { countOf, failedQuery, isWhole } from '../data/instances.ts'
import { type Instance, type Shown, type Step, shownStep, type WholeRun } from '../data/runs.ts'

/** An instance of a step, as the list shows it. */
export interface Place {
  step: Step
  instance: Instance
  index: number
  /** Set if the step has no instances: the place then represents the step itself. */
  bare?: true
}

/** Returns the name of a step in an address; a rollback is named after the step that it undoes. */
const stepName = ({ step, phase }: Step): string => (phase === 'rollback' ? `rollback:${step}` : step)

/** Returns the name of a place in an address: a step, its host, and the instance's index if there are several. */
export function placeName({ step, instance, index }: Place): string {
  const name = stepName(step)
  if (isWhole(step) && step.instances.length <= 1) return name
  const alike = !isWhole(step) || step.instances.filter(({ host }) => host === instance.host).length > 1
  return `${name}@${instance.host}${alike ? `!${index}` : ''}`
}

/** Returns the label that tells an instance from its neighbours: its host and the values that vary. */
export function instanceWord({ instance }: Pick<Place, 'instance'>): string {
  const vars = Object.entries(instance.vars ?? {}).map(([name, value]) =>
    name === 'ITEM' ? value : `${name}=${value}`,
  )
  return (instance.host === 'local' && vars.length > 0 ? vars : [instance.host, ...vars]).join(' ')
}

/** Returns the label of a step that leads into its sub-run, with the instance if there are several. */
export const levelWord = (place: Place): string =>
  countOf(place.step) > 1 ? `${place.step.step}, ${instanceWord(place)}` : place.step.step

/** Returns the instances of a step that came with its run. */
export const placesOf = (step: Step): Place[] =>
  step.instances.map((instance, at) => ({ step, instance, index: instance.index ?? at }))

const isBad = ({ status }: Instance) => status === 'failed' || status === 'interrupted'

/**
 * Returns the place of a step that opens first: the first failure, the first instance, or the step itself if it has
 * none.
 */
export function firstOf(step: Step): Place {
  const places = placesOf(step)
  const { status, reason, message } = step
  return (
    places.find(({ instance }) => isBad(instance)) ??
    places[0] ?? { step, instance: { host: '', status, reason, message, attempts: [] }, index: 0, bare: true }
  )
}

/** An instance that is named and did not come with its run. */
export interface Wanted {
  step: Step
  host: string
  index: number | undefined
}

/** Finds the step that a name means. The name of a step in a sub-run follows ` > `; `3` means the third step. */
export function headOf(
  steps: readonly Step[],
  name: string,
): { head: Place | Wanted; rest: string | undefined } | undefined {
  const whole = placeOf(steps, name)
  if (whole !== undefined) return { head: whole, rest: undefined }
  for (let at = name.indexOf(' > '); at > 0; at = name.indexOf(' > ', at + 1)) {
    const head = placeOf(steps, name.slice(0, at))
    if (head !== undefined) return { head, rest: name.slice(at + 3) }
  }
  return undefined
}

function placeOf(steps: readonly Step[], name: string): Place | Wanted | undefined {
  const numbered = /^\d+$/.test(name) && !steps.some(({ step }) => step === name)
  const third = numbered ? steps[Number(name) - 1] : undefined
  const exact =
    third ?? steps.find((step) => stepName(step) === name || `${step.phase}:${step.step}` === name)
  if (exact !== undefined) return firstOf(exact)
  for (const step of steps) {
    const own = stepName(step)
    if (!name.startsWith(`${own}@`)) continue
    const [, host, given] = /^(.*?)(?:!(\d+))?$/s.exec(name.slice(own.length + 1))!
    const index = given === undefined ? undefined : Number(given)
    const place = placesOf(step).find(
      (one) => one.instance.host === host && (index === undefined || one.index === index),
    )
    if (place !== undefined) return place
    if (!isWhole(step)) return { step, host: host!, index }
  }
  return undefined
}

/** Returns the place of an attempt, if it came with the run. */
export const placeOfAttempt = (steps: readonly Step[], attempt: number): Place | undefined =>
  steps.flatMap(placesOf).find(({ instance }) => instance.attempts.some(({ number }) => number === attempt))

/** Returns the failed instances that came with the run, in the order of the steps. */
export function failedPlaces(steps: readonly Step[]): Place[] {
  return steps.flatMap(placesOf).filter(({ instance }) => isBad(instance))
}

/** Returns all failed instances in the order of the steps; requests those that did not come with the run. */
export async function allFailedPlaces(client: QueryClient, { run_id, steps }: WholeRun): Promise<Place[]> {
  const each = steps.map(async (step) => {
    const here = failedPlaces([step])
    const count = countOf(step, 'failed', 'interrupted')
    if (here.length >= count) return here
    const all = await client.fetchQuery(failedQuery(run_id, step, count))
    return all.map((instance) => ({ step, instance, index: instance.index }))
  })
  return (await Promise.all(each)).flat()
}

const began = ({ step }: Place) => step.started_at ?? ''

/**
 * Returns the place that opens first: the first failure, a question, the latest running instance, or else the latest
 * that ran.
 */
export function firstPlace(steps: readonly Step[]): Place | undefined {
  const all = steps.flatMap(placesOf)
  const ended = ({ step, instance }: Place) => instance.attempts.at(-1)?.finished_at ?? step.finished_at ?? ''
  const broken = all
    .filter(({ instance }) => isBad(instance))
    .sort((a, b) => ended(a).localeCompare(ended(b)))
  const isAsking = all.find((place) => instanceShown(place) === 'asks')
  const latest = (places: Place[]) => places.sort((a, b) => began(a).localeCompare(began(b))).at(-1)
  const running = all.filter(({ instance }) => instance.status === 'running' || instance.status === 'waiting')
  const done = all.filter(({ instance }) => instance.attempts.length > 0)
  return broken[0] ?? isAsking ?? latest(running) ?? latest(done) ?? all[0]
}

export function instanceShown({ step, instance }: Place): Shown {
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
