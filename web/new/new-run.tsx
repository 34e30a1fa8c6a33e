import { lazy, Suspense } from 'react'
import { useSearch } from '../navigation/navigation.tsx'
import { NewPage } from './new-page.tsx'

const NewSession = lazy(async () => ({ default: (await import('./new-session.tsx')).NewSession }))
const TaskForm = lazy(() => import('./task-form.tsx'))

/** Starts a run of the kind that the address names: a workflow, a session with an agent, or a coding task. */
export function NewRun() {
  const { kind } = useSearch('/new')
  if (kind !== 'agent' && kind !== 'task') return <NewPage />
  return (
    <Suspense fallback={<main className="flex-1" aria-busy="true" />}>
      {kind === 'agent' ? <NewSession /> : <TaskForm />}
    </Suspense>
  )
}
