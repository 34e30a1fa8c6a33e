import { useEffect, useSyncExternalStore } from 'react'

/** An entry of the palette: a place to go to, an action, or a text to copy. */
export interface Command {
  /** Stays the same between visits, such as `go runs` or `run run_01`. */
  id: string
  word: string
  about?: string
  /** The key that does the same, as `?` lists it. */
  keys?: string
  /** A path below the hub's base path. */
  to?: string
  act?: () => unknown
  /** The question to ask before the action. */
  asks?: string
}

/** Commands for the page's content, by the name of the part that offers them. */
const pageCommands = new Map<string, readonly Command[]>()
const watchers = new Set<() => void>()
let all: readonly Command[] = []

function change(name: string, commands: readonly Command[] | undefined): void {
  if (commands === undefined) pageCommands.delete(name)
  else pageCommands.set(name, commands)
  all = [...pageCommands.values()].flat()
  for (const watcher of watchers) watcher()
}

/** Offers commands in the palette while the component is shown. `name` identifies the component. */
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
 * Rates how well the words of a search match a text; 0 means not at all. Every word must occur. A match at the
 * beginning of the text counts most, then one at the beginning of a word.
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

/** Returns the matching commands, best first; equal ones keep their order. */
export function fitting(commands: readonly Command[], search: string): Command[] {
  return commands
    .map((command) => ({ command, found: rank(`${command.word} ${command.about ?? ''}`, search) }))
    .filter(({ found }) => found > 0)
    .sort((a, b) => b.found - a.found)
    .map(({ command }) => command)
}

const RECENT = 'errand.recent'
const MOST_RECENT = 5

/** Returns the commands chosen last, newest first. Only places are remembered, since they do not change. */
export function recentCommands(): Command[] {
  try {
    const stored = JSON.parse(localStorage.getItem(RECENT) ?? '[]') as unknown[]
    return stored.flatMap((one) => {
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
  const stored = [{ id, word, about, to }, ...recentCommands().filter((one) => one.id !== id)]
  try {
    localStorage.setItem(RECENT, JSON.stringify(stored.slice(0, MOST_RECENT)))
  } catch {
    // The browser stores nothing, so there is no list of recent commands.
  }
}
