import { type Instance, type Shown, type Step, shownStep } from '../data/runs.ts'

/** One instance of a step, as the list shows it. */
export interface Place {
  step: Step
  instance: Instance
  index: number
}

/** The name of a place in an address: a step, its host and the instance's index where there are several. */
export function placeName({ step, instance, index }: Place): string {
  if (step.instances.length <= 1) return step.step
  const alike = step.instances.filter(({ host }) => host === instance.host).length > 1
  return `${step.step}@${instance.host}${alike ? `!${index}` : ''}`
}

/** The word that tells an instance from its neighbours: its host, with what varies. */
export function instanceWord({ instance }: Place): string {
  const vars = Object.entries(instance.vars ?? {}).map(([name, value]) => `${name}=${value}`)
  return [instance.host, ...vars].join(' ')
}

export const placesOf = (step: Step): Place[] =>
  step.instances.map((instance, index) => ({ step, instance, index }))

/** The place that a name means; `3` means the third step. */
export function placeOf(steps: readonly Step[], name: string): Place | undefined {
  const numbered = /^\d+$/.test(name) && !steps.some(({ step }) => step === name)
  const wanted = numbered ? steps[Number(name) - 1]?.step : name
  if (wanted === undefined) return undefined
  for (const step of steps) {
    if (step.step === wanted && step.instances.length > 0) return placesOf(step)[0]
    if (!wanted.startsWith(`${step.step}@`)) continue
    const [, host, index] = /^(.*?)(?:!(\d+))?$/s.exec(wanted.slice(step.step.length + 1))!
    const at = index === undefined ? step.instances.findIndex((one) => one.host === host) : Number(index)
    const instance = step.instances[at]
    if (instance !== undefined && instance.host === host) return { step, instance, index: at }
  }
  return undefined
}

/** The instances of all steps that failed, in the order of the steps. */
export function failedPlaces(steps: readonly Step[]): Place[] {
  return steps
    .flatMap(placesOf)
    .filter(({ instance: { status } }) => status === 'failed' || status === 'interrupted')
}

const began = ({ step }: Place) => step.started_at ?? ''

/** What opens by itself: what failed first, a question, what runs since last, or else the last that was done. */
export function firstPlace(steps: readonly Step[]): Place | undefined {
  const all = steps.flatMap(placesOf)
  const broken = all
    .filter(({ instance }) => instance.status === 'failed' || instance.status === 'interrupted')
    .sort((a, b) => (a.step.finished_at ?? '').localeCompare(b.step.finished_at ?? ''))
  const isAsking = all.find(({ step }) => shownStep(step) === 'asks')
  const latest = (places: Place[]) => places.sort((a, b) => began(a).localeCompare(began(b))).at(-1)
  const running = all.filter(({ instance }) => instance.status === 'running' || instance.status === 'waiting')
  const done = all.filter(({ instance }) => instance.attempts.length > 0)
  return broken[0] ?? isAsking ?? latest(running) ?? latest(done) ?? all[0]
}

export function instanceShown({ step, instance }: Place): Shown {
  return shownStep({ status: instance.status, waiting: instance.waiting, approval: step.approval })
}

/** What asks for a look first. */
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

/** A step with more instances has a map. */
export const MAP_OVER = 200
