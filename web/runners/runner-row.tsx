import { useQuery } from '@tanstack/react-query'
import { ArrowUp } from 'lucide-react'
import { useId, useState } from 'react'
import type { ListedRunner, RunnerWork } from '../../src/contract/runner-api.ts'
import { clockOf, useNow } from '../data/clock.ts'
import { drainRunner, removeRunner, resumeRunner, runnerQuery } from '../data/runners.ts'
import { Link } from '../navigation/navigation.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { RowMenu } from '../parts/row-menu.tsx'
import { When } from '../parts/times.tsx'
import { RunnerFacts } from './runner-facts.tsx'

const states: Record<ListedRunner['status'], { dot: string; word: string }> = {
  connected: { dot: 'rounded-full bg-ok', word: 'text-ok' },
  draining: { dot: 'bg-ask-fill [clip-path:polygon(0_15%,100%_15%,50%_100%)]', word: 'text-ask' },
  disconnected: { dot: 'rounded-full border-2 border-dashed border-gone', word: 'text-gone' },
}

export const columns =
  'grid grid-cols-[10px_minmax(9rem,1.3fr)_6rem_minmax(9rem,2fr)_minmax(5rem,7.5rem)_7rem_minmax(0,1fr)_4.5rem_1.75rem] items-center gap-x-4 px-edge'
const narrow = 'max-lg:grid-cols-[10px_minmax(0,1fr)_auto_auto]'

export const count = (number: number, one: string, many = `${one}s`) =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`

interface Props {
  runner: ListedRunner
  hubVersion: string | undefined
  isAdmin: boolean
  isOpen: boolean
  toggle: () => void
  again: () => Promise<void>
}

/** Shows a machine: its work, its free resources, and an admin's actions on it. */
export function RunnerRow({ runner, hubVersion, isAdmin, isOpen, toggle, again }: Props) {
  const [requested, setRequested] = useState<'drain' | 'resume' | 'remove'>()
  const facts = useId()
  const { dot, word } = states[runner.status]
  const labels = Object.entries(runner.labels).map(([name, value]) =>
    value === '' ? name : `${name}=${value}`,
  )
  const isOther = hubVersion !== undefined && runner.version !== hubVersion
  return (
    <li className="border-t border-line">
      <div className={`${columns} ${narrow} min-h-12 py-1.5 hover:bg-hover`}>
        <span className={`size-2 ${dot}`} aria-hidden />
        <span className="min-w-0">
          <button
            type="button"
            className="block min-h-6 max-w-full truncate text-left font-medium hover:underline max-sm:min-h-11 max-sm:min-w-11"
            aria-expanded={isOpen}
            aria-controls={facts}
            title={runner.id}
            onClick={toggle}
          >
            <MiddleOut name={runner.id} />
          </button>
          <span className="block truncate text-label text-ink2">
            {runner.status === 'disconnected' ? (
              <>
                last seen <When time={runner.last_seen_at} />
              </>
            ) : (
              <bdi>{[runner.hostname, ...labels].join(' · ')}</bdi>
            )}
          </span>
        </span>
        <span className={`text-meta ${word}`}>{runner.status}</span>
        <span className="min-w-0 truncate text-meta text-ink2 max-lg:col-span-3 max-lg:col-start-2 max-lg:row-start-2 max-lg:whitespace-normal">
          <Doing runner={runner} />
        </span>
        <Slots runner={runner} />
        <Cores runner={runner} />
        <Agents runner={runner} />
        <span
          className={`flex items-center gap-0.5 font-mono text-meta max-lg:hidden ${isOther ? 'text-ask' : 'text-ink2'}`}
          title={isOther ? `The hub has version ${hubVersion}` : undefined}
        >
          {runner.version}
          {isOther && (
            <ArrowUp size={12} strokeWidth={1.75} aria-label={`the hub has version ${hubVersion}`} />
          )}
        </span>
        <span className="max-lg:col-start-4 max-lg:row-start-1">
          {isAdmin && (
            <RowMenu
              label={`More for ${runner.id}`}
              actions={[
                ...(runner.status === 'draining'
                  ? [{ word: 'Resume…', act: () => setRequested('resume') }]
                  : [{ word: 'Drain…', act: () => setRequested('drain') }]),
                { word: 'Remove…', bad: true, act: () => setRequested('remove') },
              ]}
            />
          )}
        </span>
      </div>
      {isOpen && <RunnerFacts id={facts} runner={runner} />}
      {requested !== undefined && (
        <Sure what={requested} runner={runner} again={again} close={() => setRequested(undefined)} />
      )}
    </li>
  )
}

/** Shows a machine's name; a long one loses its middle, since its ends tell it from others. */
function MiddleOut({ name }: { name: string }) {
  if (name.length < 24) return <bdi>{name}</bdi>
  return (
    <span className="flex" dir="ltr">
      <span className="truncate">{name.slice(0, -10)}</span>
      {name.slice(-10)}
    </span>
  )
}

/** Links the runner's current work; if it is disconnected, says how long the hub waits before its attempts are lost. */
function Doing({ runner }: { runner: ListedRunner }) {
  const { status, running, bots = 0, lost_at, doing } = runner
  const attempts = running + bots
  if (status === 'disconnected') {
    if (attempts === 0) return <span className="text-ink3">had no work</span>
    if (lost_at === undefined) return <>had {count(attempts, 'attempt')}</>
    return (
      <>
        {count(attempts, 'attempt')} will be{' '}
        <span className="font-medium text-gone">
          lost in <Countdown to={lost_at} />
        </span>{' '}
        unless it reconnects
      </>
    )
  }
  if (attempts === 0)
    return <span className="text-ink3">{status === 'draining' ? 'no work left' : 'idle'}</span>
  const alike = Map.groupBy(doing, ({ step, workflow_name }) => `${step}\n${workflow_name}`)
  const shown = [...alike.values()].slice(0, 2).map((works) => ({
    ...works[0]!,
    attempts: works.reduce((sum, { attempts }) => sum + attempts, 0),
    runs: works.length,
  }))
  const others = attempts - shown.reduce((sum, { attempts }) => sum + attempts, 0)
  return (
    <>
      {status === 'draining' && 'drained when '}
      {shown.map((work, index) => (
        <span key={`${work.run_id} ${work.step}`}>
          {index > 0 && ', '}
          <Work work={work} />
        </span>
      ))}
      {others > 0 && (shown.length === 0 ? count(others, 'attempt') : ` and ${others} more`)}
      {status === 'draining' && (attempts === 1 ? ' ends' : ' end')}
    </>
  )
}

function Work({
  work: { run_id, workflow_name, step, attempts, runs },
}: {
  work: RunnerWork & { runs: number }
}) {
  const name = (
    <>
      <bdi className="font-medium text-ink">{step}</bdi> of <bdi>{workflow_name}</bdi>
      {attempts > 1 && ` × ${attempts}`}
    </>
  )
  return (
    <>
      {runs === 1 ? (
        <Link
          to="/runs/$run"
          params={{ run: run_id }}
          search={{ step }}
          className="inline-block py-1 hover:underline max-sm:py-3.5 lg:max-w-full lg:truncate lg:align-bottom"
        >
          {name}
        </Link>
      ) : (
        <Link
          to="/runs"
          search={{ workflow: workflow_name, status: 'running' }}
          className="inline-block py-1 hover:underline max-sm:py-3.5 lg:max-w-full lg:truncate lg:align-bottom"
        >
          {name}
        </Link>
      )}
    </>
  )
}

function Countdown({ to }: { to: string }) {
  const now = useNow()
  return <span className="tabular-nums">{clockOf(Date.parse(to) - now)}</span>
}

function Slots({ runner: { running, slots } }: { runner: ListedRunner }) {
  return (
    <span
      className="flex flex-wrap items-center gap-0.5 max-lg:hidden"
      role="img"
      aria-label={`${running} of ${slots} slots in use`}
      title={`${running} of ${slots} slots in use`}
    >
      {slots <= 16 ? (
        Array.from({ length: slots }, (_, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: slots have no names
            key={index}
            className={`size-[7px] rounded-[2px] ${index < running ? 'bg-accent' : 'border border-line2'}`}
          />
        ))
      ) : (
        <>
          <Bar part={running / slots} className="text-accent" />
          <span className="ml-1.5 text-meta text-ink2 tabular-nums">
            {running}/{slots}
          </span>
        </>
      )}
    </span>
  )
}

function Cores({ runner: { cpus, free_cpus = cpus } }: { runner: ListedRunner }) {
  const used = Math.round((cpus - free_cpus) * 10) / 10
  const all = Math.round(cpus * 10) / 10
  return (
    <span
      className="flex items-center gap-2 max-lg:hidden"
      title={`${used} of ${all} cores are reserved for its work`}
    >
      <Bar part={all === 0 ? 0 : used / all} className={used >= all ? 'text-ask-fill' : 'text-ink2'} />
      <span className="font-mono text-meta text-ink2">
        {used}/{all}
      </span>
    </span>
  )
}

function Bar({ part, className }: { part: number; className: string }) {
  return (
    <svg
      viewBox="0 0 56 6"
      className={`h-1.5 w-14 shrink-0 overflow-hidden rounded-full bg-idle ${className}`}
      aria-hidden="true"
    >
      <rect width={56 * Math.min(1, part)} height="6" fill="currentColor" />
    </svg>
  )
}

/** Lists the installed agents; one that cannot be used is struck out, with the reason. */
function Agents({ runner: { agents = [] } }: { runner: ListedRunner }) {
  const found = agents.filter(({ name, installed }) => installed && name !== 'acp')
  const usable = found.filter((agent) => agent.usable).map(({ title }) => title)
  return (
    <span
      className="truncate text-meta text-ink2 max-lg:hidden"
      title={found
        .map(({ title, usable, why }) => (usable ? title : `${title}: ${why ?? 'not usable'}`))
        .join('\n')}
    >
      {usable.join(', ')}
      {found
        .filter((agent) => !agent.usable)
        .map(({ name, title }, index) => (
          <span key={name}>
            {(usable.length > 0 || index > 0) && ', '}
            <s>{title}</s>
          </span>
        ))}
    </span>
  )
}

interface SureProps {
  what: 'drain' | 'resume' | 'remove'
  runner: ListedRunner
  again: () => Promise<void>
  close: () => void
}

/** Asks for confirmation, and says in figures what follows. */
function Sure({ what, runner, again, close }: SureProps) {
  const { data } = useQuery(runnerQuery(runner.id))
  const attempts = data?.attempts
  const figure = attempts === undefined ? 'Its current work' : count(attempts.length, 'attempt')
  const named =
    attempts === undefined || attempts.length === 0
      ? ''
      : `: ${attempts
          .slice(0, 3)
          .map(({ step, workflow_name }) => `${step} of ${workflow_name}`)
          .join(', ')}${attempts.length > 3 ? ', …' : ''}`
  const is = attempts?.length === 1 || attempts === undefined
  const free = runner.slots - runner.running
  const change = {
    drain: {
      title: `Drain ${runner.id}?`,
      keep: 'Cancel',
      verb: 'Drain runner',
      doing: 'Draining…',
      act: () => drainRunner(runner),
      text: `It accepts no new work until you resume it: ${count(free, 'fewer free slot')}. ${
        attempts?.length === 0
          ? 'Nothing is running on it.'
          : `${figure} ${is ? 'finishes' : 'finish'} normally${named}.`
      }`,
    },
    resume: {
      title: `Resume ${runner.id}?`,
      keep: 'Cancel',
      verb: 'Resume runner',
      doing: 'Resuming…',
      act: () => resumeRunner(runner),
      text: `It accepts work again: ${count(free, 'more free slot')}.`,
    },
    remove: {
      title: `Remove ${runner.id}?`,
      keep: 'Keep it',
      verb: 'Remove runner',
      doing: 'Removing…',
      act: () => removeRunner(runner),
      text: `Its token is revoked. To use it again, enroll it again. ${
        attempts?.length === 0 ? 'Nothing is running on it.' : `${figure} ${is ? 'is' : 'are'} lost${named}.`
      }${runner.status === 'disconnected' || attempts?.length === 0 ? '' : ' To lose nothing, drain it first.'}`,
    },
  }[what]
  return (
    <Confirm
      title={change.title}
      keep={change.keep}
      verb={change.verb}
      doing={change.doing}
      destructive={what === 'remove'}
      as={{ do: what, runner: runner.id }}
      act={async () => {
        await change.act()
        void again()
      }}
      close={close}
    >
      {change.text}
    </Confirm>
  )
}
