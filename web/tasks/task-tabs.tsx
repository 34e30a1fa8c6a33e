import { Download } from 'lucide-react'
import { address } from '../data/api.ts'
import { wordsOf } from '../data/page-words.ts'
import type { RunFeed } from '../data/run-feed.ts'
import { type RunDetail, shownStep } from '../data/runs.ts'
import type { TaskArtifact, TaskDetail } from '../data/tasks.ts'
import { Link } from '../navigation/navigation.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { Log } from '../parts/log/log.tsx'
import { LongText } from '../parts/long-text.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took, When } from '../parts/times.tsx'
import { firstInstance, instanceName, instancesOf } from '../run/chosen-instance.ts'
import type { TaskSearch } from './task-search.ts'

type Try = TaskDetail['tries'][number]

interface OfTry {
  run: RunDetail | undefined
  tries: readonly Try[]
  shown: Try | undefined
  search: TaskSearch
  show: (search: TaskSearch) => void
}

function TryLine({ run, tries, shown, search, show }: OfTry) {
  return (
    <div className="flex h-9 shrink-0 items-center gap-3 border-b border-line px-4 text-meta text-ink2 max-sm:h-12">
      {tries.length > 1 ? (
        <select
          aria-label="Try"
          className="h-6 rounded border border-line2 bg-surface px-1.5 max-sm:h-10 dark:bg-raised"
          value={shown?.number}
          onChange={({ target }) => show({ ...search, try: target.value, step: undefined })}
        >
          {tries.map(({ number }) => (
            <option key={number} value={number}>
              try {number}
            </option>
          ))}
        </select>
      ) : (
        <span>try 1</span>
      )}
      {shown?.message !== undefined && (
        <bdi className="min-w-0 truncate" title={shown.message}>
          {shown.message}
        </bdi>
      )}
      {run !== undefined && (
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          search={{}}
          className="ml-auto shrink-0 text-accent hover:underline"
        >
          Open run
        </Link>
      )}
    </div>
  )
}

/**
 * Reports whether a step has not run and may never run: an extra round after a failure, or a final step that is only
 * sometimes needed.
 */
const isToCome = ({ step, phase, status }: RunDetail['steps'][number]): boolean =>
  (status === 'queued' || status === 'skipped') && (phase !== 'main' || /\.([2-9]|\d\d|\w+_\d+)$/.test(step))

/** Lists the steps of a try; each links to the page of its run. */
export function TaskSteps(of: OfTry) {
  const { run } = of
  if (of.shown === undefined) return <p className="p-5 text-ink2">No try has started yet.</p>
  return (
    <>
      <TryLine {...of} />
      <ol className="min-h-0 flex-1 overflow-y-auto py-1">
        {run?.steps
          .filter((step) => !isToCome(step))
          .map((step) => {
            const shown = shownStep(step)
            const failed = step.instances.find(
              ({ status }) => status === 'failed' || status === 'interrupted',
            )
            return (
              <li
                key={`${step.phase} ${step.step}`}
                className={`relative flex min-h-8 items-center gap-3 px-4 py-1 hover:bg-hover max-sm:min-h-11 ${shown === 'skipped' || shown === 'ahead' ? 'text-ink2' : ''}`}
              >
                <StatusMark shown={shown} size={15} />
                <Link
                  to="/runs/$run"
                  params={{ run: run.run_id }}
                  search={{ step: step.step }}
                  className="shrink-0 font-medium after:absolute after:inset-0"
                >
                  <bdi>{step.step}</bdi>
                </Link>
                <bdi className="min-w-0 flex-1 truncate text-meta text-ink2">
                  {failed?.message ?? (shown === 'asks' ? step.approval?.message : step.waiting) ?? ''}
                </bdi>
                <span className="text-meta text-ink2">
                  {step.started_at === undefined ? (
                    statusWord(shown)
                  ) : (
                    <Took of={{ started_at: step.started_at, finished_at: step.finished_at }} />
                  )}
                </span>
              </li>
            )
          })}
      </ol>
    </>
  )
}

/** Shows the log of one step of a try, live. */
export function TaskLog({ feed, ...of }: OfTry & { feed: RunFeed | undefined }) {
  const { run, search, show } = of
  if (of.shown === undefined) return <p className="p-5 text-ink2">No try has started yet.</p>
  const begun = run?.steps.flatMap(instancesOf).filter(({ instance }) => instance.attempts.length > 0) ?? []
  const place =
    begun.find((one) => instanceName(one) === search.step) ??
    begun.find((one) => instanceName(one) === (run && instanceName(firstInstance(run.steps) ?? begun[0]!))) ??
    begun.at(-1)
  const attempt = place?.instance.attempts.at(-1)
  return (
    <>
      <TryLine {...of} />
      <fieldset
        aria-label="Steps"
        className="flex h-9 shrink-0 items-center gap-1 overflow-x-auto border-b border-line px-3 max-sm:h-12"
      >
        {begun.map((one) => (
          <button
            key={`${one.step.phase} ${instanceName(one)}`}
            type="button"
            aria-pressed={one === place}
            className="flex h-6 shrink-0 items-center gap-1.5 rounded px-2 text-meta text-ink2 hover:bg-hover aria-pressed:bg-sel aria-pressed:text-ink max-sm:h-10"
            onClick={() => show({ ...search, step: instanceName(one) })}
          >
            <StatusMark shown={shownStep({ ...one.step, status: one.instance.status })} size={12} beside />
            <bdi>{instanceName(one)}</bdi>
          </button>
        ))}
      </fieldset>
      {run === undefined || feed === undefined || attempt === undefined ? (
        <p className="flex-1 bg-sunken p-4 text-meta text-ink2">Nothing has started yet.</p>
      ) : (
        <Log
          key={`${run.run_id} ${attempt.number}`}
          run={run.run_id}
          attempt={attempt.number}
          feed={feed}
          running={attempt.outcome === undefined}
          name={instanceName(place!)}
        />
      )}
    </>
  )
}

const bytesText = (bytes: number): string =>
  bytes < 1000
    ? `${bytes} B`
    : bytes < 1e6
      ? `${(bytes / 1e3).toFixed(1)} kB`
      : `${(bytes / 1e6).toFixed(1)} MB`

/** Lists all artifacts of the tries, newest first, for saving. */
export function TaskArtifacts({
  kept,
}: {
  kept:
    | {
        artifacts: TaskArtifact[]
        external: { kind: string; uri: string; size_bytes?: number | undefined }[]
      }
    | undefined
}) {
  if (kept === undefined) return <div className="flex-1" aria-busy="true" />
  if (kept.artifacts.length + kept.external.length === 0)
    return <p className="p-5 text-ink2">No artifacts yet.</p>
  return (
    <ul className="min-h-0 flex-1 overflow-y-auto py-1" aria-label="Artifacts, newest first">
      {[...kept.artifacts].reverse().map(({ run_id, artifact }) => (
        <li
          key={`${run_id} ${artifact.artifact_id}`}
          className="relative flex min-h-8 items-center gap-3 px-4 py-1 hover:bg-hover max-sm:min-h-11"
        >
          <span className="chip w-20 shrink-0 justify-center">{artifact.kind}</span>
          <a
            className="min-w-0 flex-1 truncate font-mono text-meta after:absolute after:inset-0"
            href={address(
              `/api/runs/${encodeURIComponent(run_id)}/artifacts/${encodeURIComponent(artifact.artifact_id)}`,
            )}
            download={artifact.name.slice(artifact.name.lastIndexOf('/') + 1)}
          >
            <bdi>{artifact.name}</bdi>
          </a>
          <span className="text-meta text-ink2 max-sm:hidden">{artifact.media_type}</span>
          <span className="w-16 text-right text-meta text-ink2">{bytesText(artifact.bytes)}</span>
          <Download size={13} strokeWidth={1.75} aria-hidden className="text-ink3" />
          <CopyAsCli
            className="relative"
            of={artifact.name}
            actions={[['Save', { do: 'artifact', run: run_id, name: artifact.name }]]}
          />
        </li>
      ))}
      {kept.external.map(({ kind, uri, size_bytes }) => (
        <li key={`${kind} ${uri}`} className="flex min-h-8 items-center gap-3 px-4 py-1">
          <span className="chip w-20 shrink-0 justify-center truncate">{kind}</span>
          <bdi className="min-w-0 flex-1 truncate font-mono text-meta" title={uri}>
            {uri}
          </bdi>
          <span className="text-meta text-ink2">stored elsewhere</span>
          <span className="w-16 text-right text-meta text-ink2">
            {size_bytes === undefined ? '' : bytesText(size_bytes)}
          </span>
        </li>
      ))}
    </ul>
  )
}

/** Lists the tries, newest first: how and why each ended, and how long it took. */
export function TaskTries({ task, show }: { task: TaskDetail; show: (search: TaskSearch) => void }) {
  if (task.tries.length === 0) return <p className="p-5 text-ink2">No try has started yet.</p>
  return (
    <ol className="min-h-0 flex-1 overflow-y-auto" aria-label="Tries, newest first">
      {[...task.tries].reverse().map((one) => {
        const { spent } = one
        return (
          <li key={one.run_id} className="flex flex-col gap-1 border-b border-line px-4 py-3">
            <p className="flex flex-wrap items-center gap-x-3 gap-y-1">
              <StatusMark shown={one.status ?? 'running'} size={15} />
              <span className="font-medium">Try {one.number}</span>
              <span className="text-meta text-ink2">
                from {one.stage}, <When time={one.started_at} />
              </span>
              <span className="text-meta text-ink2">
                <Took of={{ started_at: one.started_at, finished_at: one.ended_at }} />
              </span>
              {spent?.tokens !== undefined && (
                <span className="text-meta text-ink2">{spent.tokens.toLocaleString('en')} tokens</span>
              )}
              {spent?.cost_usd !== undefined && (
                <span className="text-meta text-ink2">${spent.cost_usd.toFixed(2)}</span>
              )}
              {spent?.model !== undefined && <bdi className="text-meta text-ink2">{spent.model}</bdi>}
              <span className="ml-auto flex gap-3 text-meta">
                {one !== task.tries.at(-1) && (
                  <button
                    type="button"
                    className="text-accent hover:underline max-sm:min-h-11"
                    onClick={() => show({ try: String(one.number) })}
                  >
                    Changes
                  </button>
                )}
                <button
                  type="button"
                  className="text-accent hover:underline max-sm:min-h-11"
                  onClick={() => show({ tab: 'steps', try: String(one.number) })}
                >
                  Steps
                </button>
                <Link
                  to="/runs/$run"
                  params={{ run: one.run_id }}
                  search={{}}
                  className="text-accent hover:underline"
                >
                  Run
                </Link>
              </span>
            </p>
            {(one.reason !== undefined || one.message !== undefined) && (
              <div className="flex flex-wrap items-start gap-2 text-meta">
                {one.step !== undefined && <bdi className="font-medium">{one.step}</bdi>}
                {one.reason !== undefined && <span className="chip font-mono">{wordsOf(one.reason)}</span>}
                {one.message !== undefined && <LongText text={one.message} className="min-w-0 text-ink2" />}
              </div>
            )}
          </li>
        )
      })}
    </ol>
  )
}
