import { useSearch } from '@tanstack/react-router'
import { NewPage } from './new-page.tsx'
import { NewSession } from './new-session.tsx'

/** Begins a run of the kind that the address names. */
export function NewRun() {
  const { kind } = useSearch({ from: '/inside/new' })
  return kind === 'agent' ? <NewSession /> : <NewPage />
}
