import { useQueries, useQuery } from '@tanstack/react-query'
import { Play, Plus } from 'lucide-react'
import { runnersQuery } from '../data/runners.ts'
import { countRuns, type RunFilter } from '../data/runs.ts'
import { meQuery } from '../data/session.ts'
import { Link, useNavigate } from '../navigation/navigation.tsx'

/** Says which word of the filter excludes all runs, and offers to drop it. */
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
    <div className="flex flex-col items-center gap-3 px-edge py-24 text-center">
      <p className="text-empty font-semibold">No runs match</p>
      {name !== undefined && (
        <p className="text-ink2">
          {total.toLocaleString('en')} would match without{' '}
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
        {name === undefined ? 'Clear filter' : 'Remove it'}
      </button>
    </div>
  )
}

/** Suggests one next step on a hub without runs: add a machine if none is connected, otherwise start a first run. */
export function Empty() {
  const { data: runners } = useQuery(runnersQuery)
  const { data: me } = useQuery(meQuery)
  const here = runners?.filter(({ status }) => status !== 'disconnected') ?? []
  const isAlone = runners !== undefined && here.length === 0
  const machines =
    here.length === 1 ? `runner “${here[0]!.id}” is connected` : `${here.length} runners are connected`
  const run = ['Run something', 'takes half a minute']
  const add = ['Add a machine', isAlone ? 'to run anything' : 'or an agent']
  const stops = [
    ['Hub is up', here.length > 0 ? machines : 'listening'],
    ...(isAlone ? [add, run] : [run, add]),
  ] as const
  return (
    <div className="flex flex-col items-center px-edge py-[12vh] text-center">
      <div className="relative mb-10 w-full max-w-md">
        <svg
          aria-hidden="true"
          viewBox="0 0 448 28"
          preserveAspectRatio="none"
          className="h-7 w-full"
          fill="none"
          strokeWidth="2"
        >
          <path d="M75 14H224" stroke="var(--ink3)" />
          <path
            d="M224 14H373"
            stroke="var(--line2)"
            strokeDasharray="1 6"
            strokeLinecap="round"
            vectorEffect="non-scaling-stroke"
          />
        </svg>
        <ol className="absolute inset-0 grid grid-cols-3">
          {stops.map(([word, about], at) => (
            <li key={word} className="flex flex-col items-center">
              <svg aria-hidden="true" width="28" height="28" viewBox="0 0 28 28" fill="none">
                {at === 0 && (
                  <>
                    <circle cx="14" cy="14" r="8" fill="var(--ok)" />
                    <path d="M10.5 14.3 13 16.8 17.6 11.6" stroke="var(--surface)" strokeWidth="1.9" />
                  </>
                )}
                {at === 1 && (
                  <>
                    <circle
                      cx="14"
                      cy="14"
                      r="9.5"
                      fill="var(--surface)"
                      stroke="var(--accent)"
                      strokeWidth="2.4"
                    />
                    <circle cx="14" cy="14" r="4" fill="var(--accent)" />
                  </>
                )}
                {at === 2 && (
                  <circle cx="14" cy="14" r="6" fill="var(--surface)" stroke="var(--line2)" strokeWidth="2" />
                )}
              </svg>
              <span
                className={`mt-1.5 font-medium ${at === 1 ? 'text-accent' : at === 2 ? 'text-ink2' : ''}`}
              >
                {word}
              </span>
              <span className="text-meta text-ink2">
                <bdi>{about}</bdi>
              </span>
            </li>
          ))}
        </ol>
      </div>
      <p className="mt-10 mb-1 text-empty font-semibold">Nothing has run here yet</p>
      <p className="mb-6 text-ink2">
        {isAlone
          ? 'No runner is connected, so runs have to wait.'
          : 'Paste a workflow, press run, and watch it here.'}
      </p>
      {isAlone && me?.role === 'admin' ? (
        <Link to="/settings/runners" search={{ add: '1' }} className="button button-main">
          <Plus size={14} strokeWidth={1.75} aria-hidden /> Add a runner
        </Link>
      ) : (
        <Link to="/new" className="button button-main">
          <Play size={14} strokeWidth={1.75} aria-hidden /> Run the example
        </Link>
      )}
      {!isAlone && (
        <p className="mt-6 text-meta text-ink2">
          or from a shell: <code className="font-mono">errand run --hub hello.yaml</code>
        </p>
      )}
    </div>
  )
}
