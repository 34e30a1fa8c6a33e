import type { viewWords } from '../../src/contract/runs/saved-views.ts'
import { dayOf } from './clock.ts'
import type { Run, RunFilter } from './runs.ts'

const names: readonly (typeof viewWords)[number][] = [
  'kind',
  'status',
  'user',
  'workflow',
  'label',
  'since',
  'until',
  'needs',
  'latest',
  'sort',
  'agent',
  'repository',
  'shared',
  'q',
]

/** Matches `NAME:value`; all other words are part of `q`. */
const WORD = new RegExp(String.raw`^(${names.filter((name) => name !== 'q').join('|')}|input\.\w+)[:=](.+)$`)

/** Reads the filter from the search part of an address. */
export function filterOf(search: Record<string, unknown>): RunFilter {
  const inputs = Object.keys(search).filter((name) => /^input\.\w+$/.test(name))
  const filters = [...names, ...inputs].flatMap((name) => {
    const value = search[name]
    // This is the default order.
    if (name === 'sort' && value === 'active') return []
    return typeof value === 'string' && value !== '' ? [[name, value]] : []
  })
  return Object.fromEntries(filters)
}

/** Reads a filter from words such as `status:failed user:ann`; all other words search names and ids. */
export function filterOfWords(text: string): RunFilter {
  const filter: Record<string, string> = {}
  const rest: string[] = []
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    const [, name, value] = WORD.exec(word) ?? []
    if (name === undefined) rest.push(word)
    else filter[name] = value!
  }
  return rest.length > 0 ? { ...filter, q: rest.join(' ') } : filter
}

/** Reports whether a run that just arrived belongs in the list of this filter. */
export function fits(run: Run, filter: RunFilter): boolean {
  const { kind, status, user, workflow, label, until, needs, latest, agent, repository, q } = filter
  // A row may leave out inputs: then a filter for one of them does not match.
  const inputs = Object.entries(filter).filter(([name]) => name.startsWith('input.'))
  const text = q?.toLowerCase() ?? ''
  return (
    (kind === undefined || kind === run.blueprint) &&
    (status === undefined || status.split(',').includes(run.status)) &&
    (user === undefined || user === run.owner) &&
    until === undefined &&
    (label === undefined || label.split(',').every((one) => hasLabel(run, one))) &&
    (latest === undefined || (run.tries ?? 1) <= (run.try ?? 1)) &&
    (needs === undefined || run.now?.question !== undefined) &&
    inputs.every(([name, value]) => run.inputs?.[name.slice('input.'.length)] === value) &&
    (agent === undefined || agent === run.session?.agent) &&
    (repository === undefined || repository === run.repository) &&
    (workflow === undefined || workflow === run.workflow_name) &&
    (text === '' ||
      [run.run_id, run.workflow_name, run.session?.last_words ?? ''].some((one) =>
        one.toLowerCase().includes(text),
      ))
  )
}

function hasLabel({ labels = {} }: Run, label: string): boolean {
  const at = label.indexOf('=')
  return at < 0 ? Object.hasOwn(labels, label) : labels[label.slice(0, at)] === label.slice(at + 1)
}

export const GOING_ON = 'In progress'

/** Returns the group in which a row is listed: `In progress`, `Today`, `Yesterday` or a date. */
export function groupOf(run: Run, nowMs: number): string {
  if (run.status === 'queued' || run.status === 'running') return GOING_ON
  const day = dayOf(run.created_at, nowMs)
  return `${day[0]!.toUpperCase()}${day.slice(1)}`
}
