import { useQueryClient } from '@tanstack/react-query'
import { CheckCheck, ChevronDown, ChevronRight } from 'lucide-react'
import type { ReactNode } from 'react'
import { hubNow } from '../data/clock.ts'
import { markSeen } from '../data/failures.ts'
import { reasonWords } from '../data/page-words.ts'
import { type Run, shownStatus } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'
import { StatusMark } from '../parts/status-mark.tsx'
import { When } from '../parts/times.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import { RetryFailure } from '../run/retry-menu.tsx'
import { type FailureGroup, reasonOf } from './failure-groups.ts'

interface Props {
  groups: readonly FailureGroup[]
  /** There are older failures that the hub did not list. */
  more: boolean
  /** Keys of the groups whose runs are shown. */
  opened: ReadonlySet<string>
  toggle: (key: string) => void
  /** Number of groups to show, possibly none, and the button that shows the rest. */
  most: number
  rest: ReactNode
}

/** Lists failures since the person last looked, grouped by workflow, step and reason. */
export function FailedList({ groups, more, opened, toggle, most, rest }: Props) {
  const client = useQueryClient()
  const count = groups.reduce((all, { runs }) => all + runs.length, 0)
  return (
    <>
      <h2 className="mt-3 mb-1.5 flex min-h-7 items-center gap-2 font-semibold first:mt-0">
        Failed since you last looked <span className="chip font-medium">{`${count}${more ? '+' : ''}`}</span>
        {rest}
        <span className="ml-auto font-normal">
          <ActionButton
            kind="plain"
            doing="Marking…"
            title="Failures leave this list when you open them or mark them as seen"
            act={() => markSeen(client, { until: new Date(hubNow() + 1000).toISOString() })}
          >
            <CheckCheck size={14} strokeWidth={1.75} aria-hidden />
            <span className="max-sm:sr-only">Mark failures as seen</span>
          </ActionButton>
        </span>
      </h2>
      {most > 0 && (
        <ul
          aria-label="Failed since you last looked"
          className="overflow-clip rounded-[10px] border border-line max-sm:rounded-xl"
        >
          {groups
            .slice(0, most)
            .map(({ key, runs }) =>
              runs.length === 1 ? (
                <FailedItem key={key} run={runs[0]} />
              ) : (
                <FailedGroup key={key} runs={runs} isOpen={opened.has(key)} toggle={() => toggle(key)} />
              ),
            )}
          {more && most >= groups.length && (
            <li className="border-t border-line px-3 py-1.5">
              <Link
                to="/runs"
                search={{ status: 'failed,interrupted', user: groups[0]!.runs[0].owner, latest: '1' }}
                className="inline-flex min-h-6 items-center text-meta text-accent max-sm:min-h-11"
              >
                Older failed runs
              </Link>
            </li>
          )}
        </ul>
      )}
    </>
  )
}

/** Maximum number of runs shown in an open group; the list of runs has the rest. */
const MOST_OPEN = 50

/** Shows several similar failures: the newest represents them, and each can be opened. */
function FailedGroup({
  runs,
  isOpen,
  toggle,
}: {
  runs: FailureGroup['runs']
  isOpen: boolean
  toggle: () => void
}) {
  const client = useQueryClient()
  const [newest] = runs
  const Icon = isOpen ? ChevronDown : ChevronRight
  return (
    <>
      <Row
        run={newest}
        name={
          <>
            <span className="truncate">
              <bdi>{newest.workflow_name}</bdi>
            </span>
            <span className="shrink-0 font-medium text-ink2">× {runs.length}</span>
          </>
        }
      >
        <button
          type="button"
          aria-expanded={isOpen}
          aria-label={`${isOpen ? 'Hide' : 'Show'} the ${runs.length} runs of ${newest.workflow_name} that failed in the same way`}
          className="button"
          onClick={toggle}
        >
          <Icon size={14} strokeWidth={1.75} aria-hidden /> {isOpen ? 'Hide' : 'Show'} {runs.length}
        </button>
        <ActionButton
          kind="plain"
          doing="Marking…"
          act={() => markSeen(client, { run_ids: runs.map(({ run_id }) => run_id) })}
        >
          Mark {runs.length} as seen
        </ActionButton>
      </Row>
      {isOpen && runs.slice(0, MOST_OPEN).map((run) => <FailedItem key={run.run_id} run={run} isInGroup />)}
      {isOpen && runs.length > MOST_OPEN && (
        <li className="border-t border-line bg-sunken px-3 py-1.5 pl-10">
          <Link
            to="/runs"
            search={{ status: 'failed,interrupted', workflow: newest.workflow_name, user: newest.owner }}
            className="inline-flex min-h-6 items-center text-meta text-accent max-sm:min-h-11"
          >
            {runs.length - MOST_OPEN} older ones in the list of runs
          </Link>
        </li>
      )}
    </>
  )
}

/** Shows one failed run; in an open group, its id tells it from the others. */
function FailedItem({ run, isInGroup = false }: { run: Run; isInGroup?: boolean }) {
  return (
    <Row
      run={run}
      isInGroup={isInGroup}
      name={
        <span className={`truncate ${isInGroup ? 'font-mono text-meta font-normal text-ink2' : ''}`}>
          <bdi>{isInGroup ? run.run_id : run.workflow_name}</bdi>
        </span>
      }
    >
      {run.blueprint === 'workflow' && <RetryFailure run={run} />}
      <Link
        to="/runs/$run"
        params={{ run: run.run_id }}
        aria-label={`Open ${run.workflow_name}, which failed${isInGroup ? `, ${run.run_id}` : ''}`}
        className="button max-sm:h-11"
      >
        Open
      </Link>
    </Row>
  )
}

interface RowProps {
  run: Run
  name: ReactNode
  isInGroup?: boolean
  /** Buttons for the failure. */
  children: ReactNode
}

function Row({ run, name, isInGroup = false, children }: RowProps) {
  const failure = run.now?.failure
  const shown = shownStatus(run)
  const text = failure?.last_error_line ?? failure?.message ?? run.message
  return (
    <li
      className={`flex min-h-[46px] items-center gap-x-3 gap-y-1.5 border-t border-line px-3 py-1.5 first:border-t-0 max-sm:flex-wrap max-sm:px-4 max-sm:py-3 ${isInGroup ? 'bg-sunken pl-10 max-sm:pl-6' : ''} ${shown === 'failed' ? 'shadow-[inset_3px_0_0_var(--bad)]' : 'shadow-[inset_3px_0_0_var(--gone)]'}`}
    >
      {!isInGroup && <StatusMark shown={shown} />}
      <span className="flex w-48 shrink-0 items-baseline gap-1.5 font-semibold max-sm:w-auto max-sm:min-w-0 max-sm:flex-1">
        {name}
      </span>
      <span className="min-w-0 flex-1 truncate text-ink2 max-sm:order-3 max-sm:line-clamp-2 max-sm:basis-full max-sm:whitespace-normal">
        {failure !== undefined && (
          <>
            step <bdi className="font-medium text-ink">{failure.step}</bdi> failed
            {failure.host !== undefined && failure.host !== 'local' && (
              <>
                {' '}
                on <bdi className="font-mono">{failure.host}</bdi>
              </>
            )}
            :{' '}
          </>
        )}
        <span className={`font-mono ${shown === 'failed' ? 'text-bad' : 'text-gone'}`}>
          {reasonWords(reasonOf(run), failure?.exit_code)}
        </span>
        {text !== undefined && (
          <>
            {' '}
            · “
            <bdi className={failure?.last_error_line === undefined ? undefined : 'font-mono text-meta'}>
              <VisibleText text={text} />
            </bdi>
            ”
          </>
        )}
      </span>
      <span className="text-meta whitespace-nowrap text-ink2">
        <When time={run.finished_at ?? run.created_at} />
      </span>
      {failure !== undefined && (
        <Link
          to="/runs/$run"
          params={{ run: run.run_id }}
          search={{
            step: failure.host === undefined ? failure.step : `${failure.step}@${failure.host}`,
            tab: 'log',
          }}
          aria-label={`Last stderr lines of ${failure.step}`}
          title="Open the log at the last stderr lines"
          className="inline-flex min-h-6 items-center text-meta text-accent hover:underline max-sm:order-4 max-sm:min-h-11 max-sm:pr-2"
        >
          stderr
        </Link>
      )}
      <span className="flex gap-2 max-sm:order-4 max-sm:flex-1 max-sm:*:flex-1">{children}</span>
    </li>
  )
}
