/** A view of a run, as its address says it. */
export interface RunSearch {
  /** `NAME`, or with host and instance `NAME@host!2`. */
  step?: string
  try?: string
  tab?: 'log' | 'inputs' | 'outputs' | 'events'
}

export function runSearch(search: Record<string, unknown>): RunSearch {
  const { step, tab, try: attempt } = search
  return {
    ...(typeof step === 'string' && step !== '' ? { step } : {}),
    ...(typeof attempt === 'string' && /^\d+$/.test(attempt) ? { try: attempt } : {}),
    ...(tab === 'inputs' || tab === 'outputs' || tab === 'events' ? { tab } : {}),
  }
}

/** The lines that a fragment such as `#step:build@host:27-31` names, and of what. */
export function linesOf(fragment: string): { step: string; lines: [number, number] } | undefined {
  const [, step, from, to] = /^#?step:(.+):(\d+)(?:-(\d+))?$/.exec(decode(fragment)) ?? []
  if (step === undefined) return undefined
  const ends = [Number(from), Number(to ?? from)].sort((a, b) => a - b)
  return { step, lines: [ends[0]!, ends[1]!] }
}

/** The question that a fragment such as `#question:deploy` names. */
export function questionOf(fragment: string): string | undefined {
  return /^#?question:(.+)$/.exec(decode(fragment))?.[1]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
