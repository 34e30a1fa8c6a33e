import { useEffect, useRef } from 'react'
import { areLettersOn } from '../data/preferences.ts'

/** Whether an element takes keys as text. */
function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox'
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
}

/**
 * Whether a key is one for the page: no modifier is held, nobody has taken it, no field has the focus, no dialog is open, and
 * the person has not turned such keys off.
 */
export function isLetter(event: KeyboardEvent): boolean {
  const { target, altKey, ctrlKey, metaKey, defaultPrevented } = event
  if (altKey || ctrlKey || metaKey || defaultPrevented || isField(target)) return false
  return areLettersOn() && document.querySelector('dialog[open]') === null
}

/** Calls with each key for the page while the caller is shown; `false`: it is none of the caller's. */
export function useLetters(press: (key: string, event: KeyboardEvent) => unknown): void {
  const latest = useRef(press)
  latest.current = press
  useEffect(() => {
    const heard = (event: KeyboardEvent) => {
      if (isLetter(event) && latest.current(event.key, event) !== false) event.preventDefault()
    }
    addEventListener('keydown', heard)
    return () => removeEventListener('keydown', heard)
  }, [])
}
