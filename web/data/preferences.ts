import { useSyncExternalStore } from 'react'

/** Stores a person's preferences in this browser. If the browser stores nothing, they hold until the page is closed. */

const LETTERS = 'errand.letters'
const THEME = 'errand.theme'

export type Theme = 'system' | 'light' | 'dark'

function read(name: string): string | null {
  try {
    return localStorage.getItem(name)
  } catch {
    return null
  }
}

function keep(name: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(name)
    else localStorage.setItem(name, value)
  } catch {
    // The preference then holds for this page only.
  }
}

/** Reports whether single-letter keys are on; a person may turn them off. */
export const areLettersOn = (): boolean => read(LETTERS) !== 'off'
export const turnLetters = (on: boolean): void => keep(LETTERS, on ? undefined : 'off')

const watchers = new Set<() => void>()
const watch = (call: () => void) => {
  watchers.add(call)
  return () => watchers.delete(call)
}

function chosenTheme(): Theme {
  const stored = read(THEME)
  return stored === 'light' || stored === 'dark' ? stored : 'system'
}

/** Sets and stores the theme; `public/assets/theme-2.js` applies it before the first paint. */
export function chooseTheme(theme: Theme): void {
  keep(THEME, theme)
  const dark = theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
  for (const watcher of watchers) watcher()
}

export const useTheme = (): Theme => useSyncExternalStore(watch, chosenTheme)
