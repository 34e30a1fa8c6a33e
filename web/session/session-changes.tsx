import { useQuery } from '@tanstack/react-query'
import type { WorkspaceChange } from '../../src/contract/runs/workspace-queries.ts'
import { ApiError, ask } from '../data/api.ts'
import { type Against, Changes, RunChanges } from '../parts/diff/changes.tsx'

interface Props {
  run: string
  /** The session is running: the change is read from its folder. */
  live: boolean
  /** Changes whenever the agent may have changed a file. */
  version: string
  view: Against
  show: (view: Against) => void
  /** Allows comments for the next prompt. */
  comments: boolean
  /** Shown if there is no repository to compare with. */
  otherwise: React.ReactNode
}

/** Shows the change that a session made: from its folder while it runs, then as it was stored. */
export default function SessionChanges({ run, live, version, view, show, comments, otherwise }: Props) {
  const of = `/api/runs/${encodeURIComponent(run)}`
  const { data, error, isPending } = useQuery({
    queryKey: ['session-folder', run, version],
    queryFn: ({ signal }) => ask<WorkspaceChange>('GET', `${of}/workspace`, { signal }),
    enabled: live,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: (before) => before,
    retry: false,
  })
  const send = comments ? 'later' : undefined
  if (!live)
    return (
      <RunChanges run={run} version={version} view={view} show={show} send={send} otherwise={otherwise} />
    )
  if (isPending) return <div className="flex-1" aria-busy="true" />
  if (error !== null || data === undefined)
    return (
      <>
        <Why error={error} />
        {otherwise}
      </>
    )
  if (!data.repository) return otherwise
  return (
    <Changes
      of={`${of}/workspace`}
      scope={run}
      change={{ run: version, commits: data.commits.length }}
      base={data.base?.slice(0, 7)}
      view={view}
      show={show}
      send={send}
      none=""
    />
  )
}

/** Says why the folder cannot be read now, above the data that is known anyway. */
export function Why({ error }: { error: unknown }) {
  if (!(error instanceof ApiError)) return null
  return (
    <p role="status" className="border-b border-line bg-ask-soft px-4 py-2 text-meta text-ask">
      {error.message} <span className="text-ink2">{error.hint}</span>
    </p>
  )
}
