import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { ApiError } from '../data/api.ts'
import { Failure } from '../parts/action-button.tsx'
import { NewHead } from './kind-tabs.tsx'

/**
 * Shows a form that starts with the values of an earlier run or task once they are read, or empty if `from` names
 * none.
 */
export function FromEarlier<T>({
  title,
  kind,
  from,
  read,
  children,
}: {
  title: string
  kind: 'agent' | 'task'
  from: string | undefined
  read: (id: string, signal: AbortSignal) => Promise<T>
  children: (earlier: T | undefined) => ReactNode
}) {
  const { data, error } = useQuery<T, ApiError>({
    queryKey: ['new-from', kind, from],
    queryFn: ({ signal }) => read(from!, signal),
    enabled: from !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  })
  if (from === undefined || data !== undefined) return children(data)
  return (
    <>
      <NewHead title={title} kind={kind}>
        {null}
      </NewHead>
      <main className="flex-1 p-5" aria-busy={error === null}>
        {error !== null && <Failure error={error} />}
      </main>
    </>
  )
}
