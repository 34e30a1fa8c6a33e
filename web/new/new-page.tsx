import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { type ApiError, newKey } from '../data/api.ts'
import { useRunFeed } from '../data/run-feed.ts'
import {
  cancelRun,
  createRun,
  getRun,
  type Problem,
  routeOf,
  shownStatus,
  shownStep,
  validate,
} from '../data/runs.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { CopyButton } from '../parts/copy-button.tsx'
import { Log } from '../parts/log/log.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { Took } from '../parts/times.tsx'
import { firstPlace, placeName, placesOf } from '../run/chosen-instance.ts'
import { goTo, YamlEditor } from './yaml-editor.tsx'

const KEY = 'errand.draft.workflow'

const example = `version: v0.1
name: hello
steps:
  - name: greet
    action: cmd.run
    args: {cmd: echo "hello from Errand"}
  - name: count
    action: shell.run
    args:
      script: |
        for i in $(seq 1 10); do
          echo "line $i of 10"; sleep 0.3
        done
  - name: done
    action: cmd.run
    args: {cmd: echo bye}
`

/** The text that was left on the page; what is typed survives a reload, a logout and the hub. */
function keptDraft(): string {
  try {
    return localStorage.getItem(KEY) ?? example
  } catch {
    return example
  }
}

function keepDraft(text: string): void {
  try {
    if (text === '' || text === example) localStorage.removeItem(KEY)
    else localStorage.setItem(KEY, text)
  } catch {
    // It lives as long as the page.
  }
}

/** The text a moment after the last key. */
function useSettled(text: string, ms: number): string {
  const [settled, setSettled] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), ms)
    return () => clearTimeout(timer)
  }, [text, ms])
  return settled
}

/** Paste, run, watch: the workflow on one side, its output on the other. */
export function NewPage() {
  const { from } = useSearch({ from: '/inside/new' })
  const navigate = useNavigate({ from: '/new' })
  const [text, setText] = useState(keptDraft)
  const settled = useSettled(text, 250)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ text: string; key: string }>(undefined)
  const { data: checked } = useQuery({
    queryKey: ['validate', settled],
    queryFn: ({ signal }) => validate(settled, signal),
    enabled: settled.trim() !== '',
    placeholderData: keepPreviousData,
    gcTime: 10_000,
  })
  const problems = text.trim() === '' ? [] : (checked?.problems ?? [])
  const errors = problems.filter(({ severity }) => severity === 'error')
  useEffect(() => {
    document.title = 'New run · Errand'
  }, [])
  const change = (next: string) => {
    setText(next)
    keepDraft(next)
    setFailure(undefined)
  }
  const run = async () => {
    if (busy || text.trim() === '') return
    setBusy(true)
    setFailure(undefined)
    if (key.current?.text !== text) key.current = { text, key: newKey() }
    try {
      const { run_id } = await createRun(text, {}, key.current.key)
      key.current = undefined
      await navigate({ search: { from: run_id }, replace: from !== undefined })
    } catch (error) {
      const refused = error as ApiError
      const found =
        refused.code === 'invalid_workflow' ? (refused.details as Problem[] | undefined) : undefined
      if (refused.status !== 0) key.current = undefined
      if (Array.isArray(found) && found[0] !== undefined) goTo(found[0])
      setFailure(refused)
    }
    setBusy(false)
  }
  return (
    <>
      <header className="flex h-12 shrink-0 items-center gap-2 border-b border-line px-5 max-sm:h-14">
        <h1 className="text-page font-semibold">New run</h1>
        <Link
          to="/new"
          search={{ kind: 'task' }}
          className="reach ml-2 text-meta text-accent hover:underline"
        >
          A coding task instead
        </Link>
        <Link
          to="/new"
          search={{ kind: 'agent' }}
          className="reach ml-2 text-meta text-accent hover:underline max-sm:hidden"
        >
          A session instead
        </Link>
        <span className="ml-auto" />
        {text !== example && (
          <button type="button" className="button button-plain" onClick={() => change(example)}>
            Example
          </button>
        )}
        <button
          type="button"
          className="button button-main"
          aria-disabled={busy || text.trim() === ''}
          onClick={run}
        >
          {busy ? (
            'Starting…'
          ) : (
            <>
              <Play size={13} strokeWidth={1.75} aria-hidden /> {from === undefined ? 'Run' : 'Run again'}
              <kbd className="key max-sm:hidden">Ctrl ↵</kbd>
            </>
          )}
        </button>
      </header>
      <main className="flex min-h-0 flex-1 max-md:flex-col">
        <section
          aria-label="Workflow"
          className={`flex min-h-0 min-w-0 flex-1 flex-col ${from === undefined ? '' : 'border-r border-line md:max-w-[42%]'}`}
        >
          <YamlEditor text={text} change={change} problems={problems} run={run} />
          <div className="max-h-[35%] shrink-0 overflow-y-auto border-t border-line px-4 py-2 text-meta">
            {failure !== undefined && <Failure error={failure} />}
            {problems.length === 0 ? (
              <p className="flex min-h-6 items-center gap-2 text-ink2">
                {text.trim() === '' || checked === undefined ? (
                  'Paste a workflow, or drop a file.'
                ) : (
                  <>
                    <StatusMark shown="success" size={14} beside /> No mistakes
                    <span className="ml-auto text-ink3 max-sm:hidden">paste or drop a file</span>
                  </>
                )}
              </p>
            ) : (
              <ul aria-label={`${errors.length} mistakes`}>
                {problems.map((problem) => (
                  <li key={`${problem.line}:${problem.column}:${problem.message}`}>
                    <button
                      type="button"
                      className="flex w-full gap-2 rounded px-1 py-1 text-left hover:bg-hover"
                      onClick={() => goTo(problem)}
                    >
                      <span className="mt-0.5">
                        <StatusMark
                          shown={problem.severity === 'error' ? 'failed' : 'room'}
                          size={14}
                          beside
                        />
                      </span>
                      <span className="w-12 shrink-0 font-mono text-ink2">
                        {problem.line === undefined ? '' : `${problem.line}:${problem.column ?? 1}`}
                      </span>
                      <span className="min-w-0 break-words">
                        <bdi>{problem.message}</bdi>
                        {problem.hint !== undefined && (
                          <span className="block text-ink2">{problem.hint}</span>
                        )}
                      </span>
                    </button>
                  </li>
                ))}
              </ul>
            )}
          </div>
        </section>
        {from !== undefined && <Output key={from} id={from} />}
      </main>
    </>
  )
}

/** The run that was started, live: its steps as tabs, the one that runs shown until one is chosen. */
function Output({ id }: { id: string }) {
  const { data: run } = useQuery({
    queryKey: ['run', id],
    queryFn: ({ signal }) => getRun(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  })
  const feed = useRunFeed(id)
  const [chosen, setChosen] = useState<string>()
  if (run === undefined || feed === undefined)
    return <section aria-label="Output" className="min-h-0 flex-1 bg-sunken" aria-busy="true" />
  const places = run.steps.flatMap(placesOf)
  const place = places.find((one) => placeName(one) === chosen) ?? firstPlace(run.steps)
  const over = run.finished_at !== undefined
  const runner = place?.instance.attempts.at(-1)?.runner
  return (
    <section
      aria-label="Output"
      className="flex min-h-0 min-w-0 flex-1 flex-col max-md:basis-1/2 max-md:border-t max-md:border-line"
    >
      <div className="flex min-h-14 shrink-0 items-center gap-3 border-b border-line px-4 py-2">
        <StatusMark shown={shownStatus(run)} size={18} />
        <div className="min-w-0 flex-1">
          <p className="flex items-center gap-2">
            <span className="truncate font-semibold">
              <bdi>{run.workflow_name}</bdi>
            </span>
            <span className="truncate font-mono text-meta text-ink2 max-sm:hidden">{run.run_id}</span>
            <CopyButton text={run.run_id} label="Copy the run's id" />
          </p>
          <p className="truncate text-label text-ink2">
            {run.waiting ?? run.message ?? (runner === undefined ? 'waits to begin' : `on runner ${runner}`)}
          </p>
        </div>
        <span className="max-lg:hidden">
          <RouteLine route={routeOf(run)} />
        </span>
        <Took from={run.started_at ?? run.created_at} to={run.finished_at} />
        <Link to="/runs/$run" params={{ run: id }} className="button">
          Open run
        </Link>
        {!over && (
          <ActionButton doing="Canceling…" kind="quiet-bad" act={() => cancelRun(id)}>
            Cancel
          </ActionButton>
        )}
      </div>
      <div
        role="tablist"
        aria-label="Steps"
        className="flex shrink-0 overflow-x-auto border-b border-line px-1.5"
      >
        {places.map((one) => (
          <button
            key={`${one.step.phase} ${placeName(one)}`}
            type="button"
            role="tab"
            aria-selected={one.index === place?.index && one.step === place.step}
            className="tab"
            onClick={() => setChosen(placeName(one))}
          >
            <StatusMark
              shown={shownStep({
                status: one.instance.status,
                waiting: one.instance.waiting,
                approval: one.step.approval,
              })}
              size={13}
            />
            <bdi className="font-medium">{placeName(one)}</bdi>
            <span className="text-ink2">
              {one.step.started_at !== undefined && (
                <Took from={one.step.started_at} to={one.step.finished_at} />
              )}
            </span>
          </button>
        ))}
      </div>
      {place?.instance.attempts.at(-1) !== undefined ? (
        <Log
          key={place.instance.attempts.at(-1)!.number}
          run={id}
          attempt={place.instance.attempts.at(-1)!.number}
          feed={feed}
          running={place.instance.attempts.at(-1)!.outcome === undefined}
          name={placeName(place)}
        />
      ) : (
        <p className="flex-1 bg-sunken p-4 text-meta text-ink3">
          {place?.step.approval === undefined ? 'Nothing has begun yet.' : place.step.approval.message}
        </p>
      )}
    </section>
  )
}
