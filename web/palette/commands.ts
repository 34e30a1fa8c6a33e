import { useEffect, useSyncExternalStore } from 'react'

/** Something that the palette offers: a place to go to, a thing to do, or a text to copy. */
export interface Command {
  /** The same from one visit to the next, such as `go runs` or `run run_01`. */
  id: string
  word: string
  about?: string
  /** What `?` calls the key that does the same. */
  keys?: string
  /** A path below the hub's base path. */
  to?: string
  act?: () => unknown
  /** Asks once more before it is done: the words of the question. */
  asks?: string
}

/** Commands of what is on the page, by who gave them. */
const given = new Map<string, readonly Command[]>()
const watchers = new Set<() => void>()
let all: readonly Command[] = []

function change(name: string, commands: readonly Command[] | undefined): void {
  if (commands === undefined) given.delete(name)
  else given.set(name, commands)
  all = [...given.values()].flat()
  for (const watcher of watchers) watcher()
}

/** Offers these in the palette while the caller is shown. `name` is the caller's. */
export function useCommands(name: string, commands: readonly Command[]): void {
  useEffect(() => {
    change(name, commands)
    return () => change(name, undefined)
  }, [name, commands])
}

const watch = (call: () => void) => {
  watchers.add(call)
  return () => watchers.delete(call)
}
export const usePageCommands = (): readonly Command[] => useSyncExternalStore(watch, () => all)

/**
 * How well words of a search name a text; 0: not at all. Each word has to be there; the beginning of the text counts most,
 * then the beginning of a word.
 */
export function rank(text: string, search: string): number {
  const lower = text.toLowerCase()
  let sum = 1
  for (const word of search.toLowerCase().split(/\s+/).filter(Boolean)) {
    const at = lower.indexOf(word)
    if (at < 0) return 0
    if (at === 0) sum += 4
    else if (/[\s_:.-]/.test(lower[at - 1]!)) sum += 2
    else sum += 1
  }
  return sum
}

/** Those that fit, best first; of equals the order stays. */
export function fitting(commands: readonly Command[], search: string): Command[] {
  return commands
    .map((command) => ({ command, found: rank(`${command.word} ${command.about ?? ''}`, search) }))
    .filter(({ found }) => found > 0)
    .sort((a, b) => b.found - a.found)
    .map(({ command }) => command)
}

const RECENT = 'errand.recent'
const MOST_RECENT = 5

/** Commands that were chosen last, the newest first: only places, which stay what they were. */
export function recentCommands(): Command[] {
  try {
    const kept = JSON.parse(localStorage.getItem(RECENT) ?? '[]') as unknown[]
    return kept.flatMap((one) => {
      const { id, word, about, to } = (one ?? {}) as Partial<Command>
      if (typeof id !== 'string' || typeof word !== 'string' || typeof to !== 'string') return []
      return [{ id, word, to, ...(typeof about === 'string' ? { about } : {}) }]
    })
  } catch {
    return []
  }
}

export function keepRecent({ id, word, about, to }: Command): void {
  if (to === undefined) return
  const kept = [{ id, word, about, to }, ...recentCommands().filter((one) => one.id !== id)]
  try {
    localStorage.setItem(RECENT, JSON.stringify(kept.slice(0, MOST_RECENT)))
  } catch {
    // Without a place to keep it there is no list of recent ones.
  }
}
