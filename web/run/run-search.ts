/** A view of a run, as its address says it. */
export interface RunSearch {
  /** `NAME`, or with host and instance `NAME@host!2`. */
  step?: string
  try?: string
  tab?: RunTab
  /** Absent: the graph where there are several steps. */
  view?: RunView
  /** The id of a run that this one is shown beside, or `last-good`. */
  compare?: string
  /** Of a session: beside the talk. */
  panel?: 'changes' | 'files' | 'plan' | 'usage'
  /** A commit of the session's change, from 1; absent: all of it against its base. */
  against?: string
  /** The file whose changes are shown there. */
  file?: string
  /** What is searched for in the log, and whether it is a regular expression. */
  find?: string
  re?: '1'
  /** The one stream of the log that is shown. */
  stream?: 'stdout' | 'stderr'
  /** What the instances that are listed of large steps have in host, item or message, and in a timeline their status. */
  q?: string
  status?: InstanceStatus
}

export const runTabs = [
  'log',
  'session',
  'inputs',
  'outputs',
  'exports',
  'artifacts',
  'usage',
  'events',
] as const
export type RunTab = (typeof runTabs)[number]
/** As the hub's pages of instances are asked for them, what asks for a look first before others. */
export const instanceStatuses = [
  'failed',
  'interrupted',
  'running',
  'waiting',
  'queued',
  'canceled',
  'skipped',
  'success',
] as const
export type InstanceStatus = (typeof instanceStatuses)[number]
export const runViews = ['graph', 'list', 'timeline'] as const
export type RunView = (typeof runViews)[number]

export function runSearch(search: Record<string, unknown>): RunSearch {
  const { step, tab, try: attempt, view, compare, panel, against, file, find, re, stream, q, status } = search
  return {
    ...(typeof step === 'string' && step !== '' ? { step } : {}),
    ...(typeof attempt === 'string' && /^\d+$/.test(attempt) ? { try: attempt } : {}),
    ...(runTabs.includes(tab as RunTab) ? { tab: tab as RunTab } : {}),
    ...(runViews.includes(view as RunView) ? { view: view as RunView } : {}),
    ...(typeof compare === 'string' && compare !== '' ? { compare } : {}),
    ...(panel === 'changes' || panel === 'files' || panel === 'plan' || panel === 'usage' ? { panel } : {}),
    ...(typeof against === 'string' && /^[1-9]\d{0,3}$/.test(against) ? { against } : {}),
    ...(typeof file === 'string' && file !== '' ? { file } : {}),
    ...(typeof find === 'string' || typeof find === 'number' ? { find: String(find).slice(0, 1000) } : {}),
    ...(String(re) === '1' ? { re: '1' as const } : {}),
    ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
    ...(typeof q === 'string' && q !== '' ? { q: q.slice(0, 200) } : {}),
    ...(instanceStatuses.includes(status as InstanceStatus) ? { status: status as InstanceStatus } : {}),
  }
}

/** The lines that a fragment such as `#step:build@host:27-31` names, and of what. */
export function linesOf(fragment: string): { step: string; lines: [number, number] } | undefined {
  const [, step, from, to] = /^#?step:(.+):(\d+)(?:-(\d+))?$/.exec(decode(fragment)) ?? []
  if (step === undefined) return undefined
  const ends = [Number(from), Number(to ?? from)].sort((a, b) => a - b)
  return { step, lines: [ends[0]!, ends[1]!] }
}

/** The question that a fragment names: of a step (`#question:deploy`), or of the agent of an attempt (`#question:ID@7`). */
export function questionOf(fragment: string): { id: string; attempt?: number } | undefined {
  const [, whole, id, attempt] = /^#?question:((.+?)(?:@(\d+))?)$/.exec(decode(fragment)) ?? []
  if (whole === undefined) return undefined
  return attempt === undefined ? { id: whole } : { id: id!, attempt: Number(attempt) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
