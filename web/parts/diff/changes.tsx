import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useMemo, useState } from 'react'
import type { Artifact } from '../../../src/contract/tasks/artifact.ts'
import { ApiError, ask } from '../../data/api.ts'
import { changeAddress, judgedFiles, readChange, type StoredChange, storedChange } from '../../data/change.ts'
import { Failure } from '../action-button.tsx'
import CopyAsCli from '../copy-as-cli.tsx'
import { DiffCounts, DiffView, type Send } from './diff-view.tsx'
import { commented } from './drafts.ts'
import { type FileKind, fingerprint } from './kinds-of-file.ts'
import { type DiffFile, parseDiff } from './parse-diff.ts'

/** The state of a view of a change: against the base or a commit (from 1), and which file. */
export interface Against {
  commit?: number | undefined
  file?: string | undefined
}

interface Props {
  /** `/api/runs/ID` or `/api/tasks/ID`. */
  of: string
  /** Name under which drafts and marks are stored. */
  scope: string
  /** Absent while no change is stored. */
  change: StoredChange | undefined
  /** The branch to compare with, if known. */
  base?: string | undefined
  view: Against
  show: (view: Against) => void
  send?: Send | 'later' | undefined
  /** Shown if there is no change. */
  none: string
}

/** Returns the files of a stored change; reads them once, since a stored change never changes. */
export function useChange(of: string, change: StoredChange | undefined, commit?: number) {
  const { data, error } = useQuery({
    queryKey: ['change', of, change?.run, change?.files, commit],
    queryFn: ({ signal }) => readChange(of, commit, signal),
    enabled: change !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    retry: false,
  })
  const files = useMemo<DiffFile[] | undefined>(() => data && parseDiff(data.text), [data])
  return { files, cutAt: data?.cutAt, error }
}

/** Returns the kinds of files and the decisions of the rules, from the hub's list of a change. */
export function useJudged(change: StoredChange | undefined) {
  const { data } = useQuery({
    queryKey: ['judged', change?.run, change?.files],
    queryFn: ({ signal }) => judgedFiles(change!, signal),
    enabled: change?.files !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  })
  return data
}

const roomOf = (of: string) =>
  of.startsWith('/api/tasks/') ? 'task' : of.endsWith('/workspace') ? 'sessions' : 'runs'

/** Shows the change of a run or task, with a choice of what to compare it with. */
export function Changes({ of, scope, change, base, view, show, send, none }: Props) {
  const { files, cutAt, error } = useChange(of, change, view.commit)
  const judged = useJudged(change)
  const kinds = useMemo(
    () =>
      judged &&
      new Map(
        judged.flatMap(({ path, kind }): [string, FileKind][] =>
          kind === undefined || kind === 'submodule' ? [] : [[path, kind]],
        ),
      ),
    [judged],
  )
  const [onlyNew, setOnlyNew] = useState(false)
  const fresh = useMemo(() => {
    const before = commented(scope)
    if (before.size === 0 || view.commit !== undefined) return undefined
    const since = files?.filter((file) => !before.has(fingerprint(file)))
    return since?.length === 0 || since?.length === files?.length ? undefined : since
  }, [files, scope, view.commit])
  if (change === undefined) return <p className="p-5 text-ink2">{none}</p>
  const listed = onlyNew && fresh !== undefined ? fresh : files
  return (
    <div className="flex min-h-0 min-w-0 flex-1 flex-col">
      <div className="flex h-9 shrink-0 items-center gap-3 border-b border-line px-3 text-meta max-sm:h-12">
        <fieldset aria-label="Compare with" className="segments">
          <Choice chosen={view.commit === undefined} choose={() => show({ ...view, commit: undefined })}>
            against {base ?? 'the base'}
          </Choice>
          {change.commits <= 3 ? (
            Array.from({ length: change.commits }, (_, index) => (
              <Choice
                // biome-ignore lint/suspicious/noArrayIndexKey: commits are named by their numbers
                key={index}
                chosen={view.commit === index + 1}
                choose={() => show({ ...view, commit: index + 1 })}
              >
                commit {index + 1}
              </Choice>
            ))
          ) : (
            <select
              aria-label="Commit"
              className={`h-6 max-w-36 rounded px-1.5 max-sm:h-10 ${view.commit === undefined ? 'text-ink2' : 'bg-surface font-medium dark:bg-raised'}`}
              value={view.commit ?? ''}
              onChange={({ target }) =>
                show({ ...view, commit: target.value === '' ? undefined : Number(target.value) })
              }
            >
              <option value="">{change.commits} commits</option>
              {Array.from({ length: change.commits }, (_, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: commits are named by their numbers
                <option key={index} value={index + 1}>
                  commit {index + 1}
                </option>
              ))}
            </select>
          )}
        </fieldset>
        {files !== undefined && (
          <span className="flex min-w-0 items-center gap-2 text-ink2">
            <span className="whitespace-nowrap">
              {files.length} {files.length === 1 ? 'file' : 'files'}
            </span>
            <DiffCounts files={files} />
          </span>
        )}
        {fresh !== undefined && (
          <button
            type="button"
            aria-pressed={onlyNew}
            className="chip h-6 max-sm:h-10 aria-pressed:bg-accent-soft aria-pressed:text-accent"
            onClick={() => setOnlyNew(!onlyNew)}
          >
            since my last comment: {fresh.length}
          </button>
        )}
        <CopyAsCli
          className="ml-auto"
          of="the diff"
          actions={[['Diff', { do: 'diff', of: roomOf(of), id: scope, commit: view.commit }]]}
        />
        {view.commit === undefined && (
          <a
            className="reach text-ink2 hover:text-ink hover:underline max-sm:hidden"
            href={changeAddress(of)}
            download={`${scope}.diff`}
          >
            Raw
          </a>
        )}
      </div>
      {cutAt !== undefined && (
        <p className="shrink-0 border-b border-line bg-ask-soft px-3 py-1.5 text-meta text-ask">
          Only the first {Math.round(cutAt / 1024 / 1024)} MB of the change are shown. Raw has all of it.
        </p>
      )}
      {error instanceof ApiError ? (
        <div className="p-4">
          <Failure error={error} />
        </div>
      ) : files === undefined ? (
        <div className="flex-1" aria-busy="true" />
      ) : (
        <DiffView
          files={listed ?? files}
          scope={scope}
          chosen={view.file}
          choose={(file) => show({ ...view, file })}
          kinds={kinds}
          send={send}
        />
      )}
    </div>
  )
}

function Choice({ chosen, choose, children }: { chosen: boolean; choose: () => void; children: ReactNode }) {
  return (
    <button type="button" aria-pressed={chosen} className="segment px-2 whitespace-nowrap" onClick={choose}>
      {children}
    </button>
  )
}

interface RunChangesProps {
  run: string
  /** Changes whenever the run may have stored something new, such as the seq of its last event. */
  version?: number | string | undefined
  view?: Against | undefined
  show?: ((view: Against) => void) | undefined
  send?: Send | 'later' | undefined
  /** Shown instead of a message if nothing is stored. */
  otherwise?: ReactNode
}

/** Shows a run's last stored change in a panel. Holds the view itself if the caller does not keep it in the address. */
export function RunChanges({ run, version, view, show, send, otherwise }: RunChangesProps) {
  const of = `/api/runs/${encodeURIComponent(run)}`
  const { data } = useQuery({
    queryKey: ['run-artifacts', run, version],
    queryFn: ({ signal }) => ask<{ artifacts: Artifact[] }>('GET', `${of}/artifacts`, { signal }),
    staleTime: version === undefined ? 0 : Number.POSITIVE_INFINITY,
    placeholderData: (before) => before,
  })
  const [own, setOwn] = useState<Against>({})
  if (data === undefined) return <div className="flex-1" aria-busy="true" />
  const change = storedChange(data.artifacts.map((artifact) => ({ run_id: run, artifact })))
  if (change === undefined && otherwise !== undefined) return otherwise
  return (
    <Changes
      of={of}
      scope={run}
      change={change}
      view={view ?? own}
      show={show ?? setOwn}
      send={send}
      none="This run has not stored any changes yet."
    />
  )
}
