import { useNavigate } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { areLettersOn } from '../data/preferences.ts'

/** Keys there are text, not commands. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  )
}

/** Where `g` and a letter lead. */
const places: Readonly<Record<string, string>> = {
  r: '/runs',
  s: '/sessions',
  t: '/tasks',
  m: '/settings/runners',
}
const AFTER_G_MS = 1500

interface Does {
  /** What is about to open takes the letters. */
  opening: boolean
  fold: () => void
  palette: () => void
  allKeys: () => void
}

/** The keys that work on every page. Letters are off while a field has the focus or a dialog is open. */
export function useKeys(does: Does): void {
  const navigate = useNavigate()
  const went = useRef(Number.NEGATIVE_INFINITY)
  const latest = useRef(does)
  latest.current = does
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { key, target } = event
      if (event.altKey || document.querySelector('dialog[open]') !== null) return
      if (event.metaKey || event.ctrlKey) {
        if (key.toLowerCase() !== 'k' || event.shiftKey) return
        latest.current.palette()
        return event.preventDefault()
      }
      if (!areLettersOn() || isTyping(target) || latest.current.opening) return
      if (event.timeStamp - went.current < AFTER_G_MS && places[key] !== undefined) {
        went.current = Number.NEGATIVE_INFINITY
        void navigate({ to: places[key] })
      } else if (key === 'g') went.current = event.timeStamp
      else if (key === 'n') void navigate({ to: '/new' })
      else if (key === '[') latest.current.fold()
      else if (key === '?') latest.current.allKeys()
      else return
      event.preventDefault()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [navigate])
}
