import { personHere } from './session.ts'

/**
 * Texts that a person has typed and not sent, and marks of what they have looked at, in this browser: they survive a reload, a
 * logout and the hub. They stand under the person's name, so that who comes next at this browser sees none of them. Secrets are never in them.
 */

const keyOf = (name: string) => `errand.of.${personHere()}.${name}`

export function kept(name: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(keyOf(name)) ?? 'null')
  } catch {
    return null
  }
}

/** Keeps a value; undefined: none any more. */
export function keep(name: string, value: unknown): void {
  try {
    if (value === undefined) localStorage.removeItem(keyOf(name))
    else localStorage.setItem(keyOf(name), JSON.stringify(value))
  } catch {
    // It lives as long as the page.
  }
}

/** Whether another tab has changed what is kept under the name. */
export const isOfKept = ({ key }: StorageEvent, name: string): boolean => key === keyOf(name)
