import { useEffect, useRef } from 'react'
import { areLettersOn } from '../data/preferences.ts'

/** Reports whether an element takes keys as text. */
function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target instanceof HTMLInputElement) return target.type !== 'checkbox'
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
}

/**
 * Reports whether a key is meant for the page: no modifier is held, nothing has handled it, no field has the focus,
 * no dialog is open, and the person has not turned such keys off.
 */
export function isLetter(event: KeyboardEvent): boolean {
  const { target, altKey, ctrlKey, metaKey, defaultPrevented } = event
  if (altKey || ctrlKey || metaKey || defaultPrevented || isField(target)) return false
  return areLettersOn() && document.querySelector('dialog[open]') === null
}

/**
 * Calls `press` with each key for the page while the component is shown; `press` returns false for keys that it does
 * not use.
 */
export function useLetters(press: (key: string, event: KeyboardEvent) => unknown): void {
  const latest = useRef(press)
  latest.current = press
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isLetter(event) && latest.current(event.key, event) !== false) event.preventDefault()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
}
