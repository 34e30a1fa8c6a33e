import { personHere } from './session.ts'

/**
 * Stores in this browser the texts that a person has typed and not sent, and marks of what they have looked at. They
 * survive a reload, a logout and a restart of the hub. Each person has their own entries, so that the next person at
 * this browser sees none of them. Secrets are never stored.
 */

const keyOf = (name: string) => `errand.of.${personHere()}.${name}`

export function stored(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(keyOf(name)) ?? 'null')
  } catch {
    return null
  }
}

/** Stores a value; undefined removes it. */
export function keep(name: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(keyOf(name))
    else localStorage.setItem(keyOf(name), JSON.stringify(value))
  } catch {
    // The browser stores nothing: the value lives as long as the page.
  }
}

/** Reports whether another tab has changed the value stored under the name. */
export const isOfStored = ({ key }: StorageEvent, name: string): boolean => key === keyOf(name)
