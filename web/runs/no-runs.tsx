import { useQueries } from '@tanstack/react-query'
import { Play } from 'lucide-react'
import { countRuns, type RunFilter } from '../data/runs.ts'
import { Link, useNavigate } from '../navigation/navigation.tsx'

/** Says which word of the filter leaves all out, and drops it. */
export function NoMatch({ filter }: { filter: RunFilter }) {
  const navigate = useNavigate()
  const names = (Object.keys(filter) as (keyof RunFilter)[]).filter((name) => name !== 'sort')
  const counted = useQueries({
    queries: names.map((name) => {
      const without: RunFilter = { ...filter, [name]: undefined }
      return {
        queryKey: ['run-counts', without],
        queryFn: ({ signal }: { signal: AbortSignal }) => countRuns(without, signal),
      }
    }),
  })
  const at = counted.findIndex(({ data }) => data !== undefined && data.total > 0)
  const name = names[at]
  const total = counted[at]?.data?.total ?? 0
  return (
    <div className="flex flex-col items-center gap-3 px-5 py-24 text-center">
      <p className="text-empty font-semibold">No run matches</p>
      {name !== undefined && (
        <p className="text-ink2">
          {total.toLocaleString('en')} would without{' '}
          <span className="font-mono">
            <bdi>{`${name}:${filter[name]}`}</bdi>
          </span>
          .
        </p>
      )}
      <button
        type="button"
        className="button"
        onClick={() =>
          navigate({ to: '/runs', search: name === undefined ? {} : { ...filter, [name]: undefined } })
        }
      >
        {name === undefined ? 'Drop the filter' : 'Drop it'}
      </button>
    </div>
  )
}

/** A hub where nothing has run teaches one step. */
export function Empty() {
  return (
    <div className="flex flex-col items-center px-5 py-24 text-center">
      <svg
        aria-hidden="true"
        width="320"
        height="28"
        viewBox="0 0 320 28"
        fill="none"
        className="mb-8 max-w-full"
      >
        <path d="M10 14H158" stroke="var(--ink3)" strokeWidth="2" />
        <path
          d="M162 14H310"
          stroke="var(--line2)"
          strokeWidth="2"
          strokeDasharray="1 6"
          strokeLinecap="round"
        />
        <circle cx="10" cy="14" r="8" fill="var(--ok)" />
        <path d="M6.5 14.3 9 16.8 13.6 11.6" stroke="var(--surface)" strokeWidth="1.9" />
        <circle cx="160" cy="14" r="9.5" fill="var(--surface)" stroke="var(--accent)" strokeWidth="2.4" />
        <circle cx="160" cy="14" r="4" fill="var(--accent)" />
        <circle cx="310" cy="14" r="6" fill="var(--surface)" stroke="var(--line2)" strokeWidth="2" />
      </svg>
      <p className="mb-1 text-empty font-semibold">Nothing has run here yet</p>
      <p className="mb-6 text-ink2">Paste a workflow, press run, and watch it here.</p>
      <Link to="/new" className="button button-main">
        <Play size={14} strokeWidth={1.75} aria-hidden /> Run the example
      </Link>
      <p className="mt-6 text-meta text-ink2">
        or from a shell: <code className="font-mono">errand run hello.yaml</code>
      </p>
    </div>
  )
}
