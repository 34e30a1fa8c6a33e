import { Bot, GitPullRequest, MessageSquare, Workflow } from 'lucide-react'
import { memo } from 'react'
import { reasonWords } from '../data/page-words.ts'
import { type Run, shownStatus } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { RouteLine } from '../parts/route-line.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { Took, Waited, When } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'

const figure = (count: number) => count.toLocaleString('en')
const kinds = { workflow: Workflow, agent: MessageSquare, bot: Bot, task: GitPullRequest } as const

/** Says in a few words where a run stands: its step, why it waits, or how it ended. */
export function Now({ run }: { run: Run }) {
  const shown = shownStatus(run)
  const { now } = run
  if (shown === 'asks')
    return (
      <>
        <bdi className="font-medium text-ask">{now!.question!.step}</bdi>
        <span className="text-ink2"> · waiting for a person</span>
      </>
    )
  if (shown === 'aside')
    return (
      <>
        <span className="font-medium text-bad">set aside</span>
        <span className="text-ink2"> · {run.set_aside!.why}</span>
      </>
    )
  if (shown === 'room' || shown === 'waiting' || shown === 'queued')
    return (
      <span className="text-ask">
        {run.waiting ??
          (shown === 'queued' ? 'waiting to start' : `${now?.step ?? 'the run'} is waiting to be retried`)}
      </span>
    )
  if (shown === 'running')
    return (
      <>
        <span className="font-medium text-accent">{now?.step ?? 'running'}</span>
        {now?.host !== undefined && <span className="text-ink2"> · on {now.host}</span>}
        {now?.instances !== undefined && (
          <span className="text-ink2">
            {' '}
            · {figure(now.instances.done)} of {figure(now.instances.all)}
            {now.instances.failed > 0 && (
              <span className="text-bad"> · {figure(now.instances.failed)} failed</span>
            )}
          </span>
        )}
      </>
    )
  if (shown === 'failed' || shown === 'interrupted')
    return (
      <>
        {now?.failure !== undefined && (
          <>
            <bdi className="font-medium">{now.failure.step}</bdi> ·{' '}
          </>
        )}
        <span className={shown === 'failed' ? 'text-bad' : 'text-gone'}>
          {reasonWords(now?.failure?.reason ?? run.reason ?? shown, now?.failure?.exit_code)}
        </span>
        {now?.failure?.host !== undefined && now.failure.host !== 'local' && (
          <span className="text-ink2"> on {now.failure.host}</span>
        )}
        {now?.failure === undefined && run.message !== undefined && (
          <span className="text-ink2"> · {run.message}</span>
        )}
      </>
    )
  return (
    <span className="text-ink2">
      {shown === 'canceled' ? (run.message ?? 'canceled') : statusWord(shown)}
    </span>
  )
}

interface Props {
  run: Run
  marked: boolean
  mark: (id: string) => void
  share: (run: Run) => void
}

export const RunRow = memo(function RunRow({ run, marked, mark, share }: Props) {
  const shown = shownStatus(run)
  const Kind = kinds[run.blueprint as keyof typeof kinds] ?? Workflow
  const inputs = Object.entries(run.inputs ?? {})
  const labels = Object.entries(run.labels ?? {})
  const second =
    inputs.length + labels.length > 0 ? (
      <span className="font-mono">
        {inputs.slice(0, 3).map(([name, value]) => (
          <span key={name} className="mr-2">
            {name}=
            <span className="font-medium text-ink2">
              <VisibleText text={value} />
            </span>
          </span>
        ))}
        {(run.inputs_left_out ?? 0) > 0 && `+${run.inputs_left_out}`}
        {labels.map(([name, value]) => (
          <span key={name} className="mr-1.5 rounded bg-idle px-1">
            {name}
            {value !== '' && `=${value}`}
          </span>
        ))}
      </span>
    ) : run.session !== undefined ? (
      <span>{[run.session.agent, run.session.model].filter(Boolean).join(' · ')}</span>
    ) : (
      <span className="font-mono">{run.run_id}</span>
    )
  return (
    <li
      data-run={run.run_id}
      className={`group/row relative grid min-h-[46px] grid-cols-(--run-columns) items-center gap-x-3 border-t border-line px-edge py-1 hover:bg-hover max-sm:min-h-16 ${marked ? 'bg-sel!' : ''}`}
    >
      <span className="flex items-center gap-3">
        <span className="relative flex size-4 items-center justify-center">
          <span className={marked ? 'hidden' : 'max-sm:inline sm:group-hover/row:hidden'}>
            <StatusMark shown={shown} />
          </span>
          <input
            type="checkbox"
            aria-label={`Select ${run.workflow_name}, ${run.run_id}`}
            className={`absolute z-10 size-4 accent-accent focus:opacity-100 ${marked ? '' : 'opacity-0 max-sm:hidden group-hover/row:opacity-100'}`}
            checked={marked}
            onChange={() => mark(run.run_id)}
          />
        </span>
        <Kind size={14} strokeWidth={1.75} className="text-ink3 max-sm:hidden" aria-label={run.blueprint} />
      </span>
      <span className="min-w-0">
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          className="block truncate font-medium after:absolute after:inset-0 max-sm:text-page"
          title={run.workflow_name}
        >
          <bdi>{run.workflow_name}</bdi>
        </Link>
        <span className="block truncate text-label text-ink3 max-sm:hidden">
          <bdi>{second}</bdi>
        </span>
        <span className="hidden truncate text-meta max-sm:block">
          <Now run={run} />
        </span>
      </span>
      <span className="hidden md:group-data-routes/list:block">
        {run.route !== undefined && <RouteLine route={run.route} />}
      </span>
      <span className="truncate text-meta max-lg:hidden">
        <Now run={run} />
      </span>
      <span className="truncate text-meta text-ink2 max-lg:hidden">
        <bdi>{run.owner}</bdi>
      </span>
      <span className="text-right text-meta whitespace-nowrap text-ink2 max-md:hidden">
        <When time={run.started_at ?? run.created_at} />
      </span>
      <span className="flex flex-col items-end gap-x-1 text-meta max-sm:gap-y-1 whitespace-nowrap text-ink2">
        <Took of={run} />
        <Waited of={run} className="text-label max-sm:hidden" />
        <span className="hidden max-sm:block">
          {run.route !== undefined && <RouteLine route={run.route} />}
        </span>
      </span>
      <span className="relative z-10 flex justify-end">
        <RowMenu
          label={`More actions for ${run.workflow_name}, ${run.run_id}`}
          actions={[{ word: 'Share…', act: () => share(run) }]}
        />
      </span>
    </li>
  )
})
