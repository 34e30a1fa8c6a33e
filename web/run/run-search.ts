/** A view of a run, as in its address. */
export interface RunSearch {
  /** `NAME`, or with host and instance `NAME@host!2`. */
  step?: string
  try?: string
  tab?: RunTab
  /** Absent: the graph if there are several steps. */
  view?: RunView
  /** The id of a run to compare this one with, or `last-good`. */
  compare?: string
  /** The panel beside the conversation of a session. */
  panel?: 'changes' | 'files' | 'plan' | 'usage'
  /** A commit of the session's change, from 1; if absent, the whole change against its base. */
  against?: string
  /** The file whose changes are shown there. */
  file?: string
  /** The text to search for in the log, and whether it is a regular expression. */
  find?: string
  re?: '1'
  /** The only stream of the log that is shown. */
  stream?: 'stdout' | 'stderr'
  /** Filter for the instances of large steps: a text in the host, item or message, and in a timeline their status. */
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
/** Statuses in the order of the hub's pages of instances: those that need attention first. */
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

/** Parses a fragment that names lines, such as `#step:build@host:27-31`. */
export function linesOf(fragment: string): { step: string; lines: [number, number] } | undefined {
  const [, step, from, to] = /^#?step:(.+):(\d+)(?:-(\d+))?$/.exec(decode(fragment)) ?? []
  if (step === undefined) return undefined
  const ends = [Number(from), Number(to ?? from)].sort((a, b) => a - b)
  return { step, lines: [ends[0]!, ends[1]!] }
}

/**
 * Parses a fragment that names a question: of a step (`#question:deploy`), or of an attempt's agent
 * (`#question:ID@7`).
 */
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
