import { useQueryClient } from '@tanstack/react-query'
import { ChevronDown, ChevronsRight, RotateCcw } from 'lucide-react'
import { lazy, type ReactNode, Suspense, useEffect, useId, useRef, useState } from 'react'
import { countOf, isWhole } from '../data/instances.ts'
import { liveRuns } from '../data/live/live.ts'
import type { Scope, Target } from '../data/retries.ts'
import { type Run, type RunDetail, runQuery, shownStatus } from '../data/runs.ts'
import { Link } from '../navigation/navigation.tsx'
import { ActionButton } from '../parts/action-button.tsx'
import { useLetters } from '../parts/letters.ts'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { failedInstances, instanceWord } from './chosen-instance.ts'
import type { Level } from './chosen-path.ts'

const RetrySheet = lazy(() => import('./retry-sheet.tsx').then((module) => ({ default: module.RetrySheet })))

const isOver = ({ status }: RunDetail) => status !== 'queued' && status !== 'running'

/**
 * Returns the main step and instance, in the run or in a sub-run, at which a narrow retry begins. Rollbacks and
 * `finally` steps follow by themselves.
 */
function targetOf(path: readonly Level[]): Target | undefined {
  const place = path.at(-1)?.place
  if (place === undefined || path.some(({ place: { step } }) => step.phase !== 'main')) return undefined
  const { step, instance, index } = place
  const name = path.map((level) => level.place.step.step).join(' > ')
  if (countOf(step) <= 1) return { step: name, word: step.step }
  const alike = !isWhole(step) || step.instances.filter(({ host }) => host === instance.host).length > 1
  const only = alike ? { instances: [index] } : { hosts: [instance.host] }
  return { step: name, only, word: instanceWord(place) }
}

function words(scope: Scope, target: Target | undefined): string {
  if (scope === 'instance') return `Retry ${target?.word ?? ''}`
  if (scope === 'from') return `Retry from ${target?.step ?? ''}`
  return scope === 'failed' ? 'Retry failed' : 'Run again'
}

function scopesOf(run: RunDetail, target: Target | undefined): Scope[] {
  const narrow: Scope[] = target === undefined || run.rolls_back !== undefined ? [] : ['instance', 'from']
  return [...narrow, ...(run.status === 'success' ? [] : (['failed'] as const)), 'all']
}

interface Props {
  run: RunDetail
  path: readonly Level[]
}

/** Shows the menu below the button, or above it if the button is low on the page. */
function openMenu(menu: HTMLElement, button: HTMLElement): void {
  const { top, bottom, right } = button.getBoundingClientRect()
  const isLow = top > innerHeight / 2
  Object.assign(menu.style, {
    right: `${Math.max(8, innerWidth - right)}px`,
    top: isLow ? 'auto' : `${bottom + 4}px`,
    bottom: isLow ? `${innerHeight - top + 4}px` : 'auto',
  })
  menu.togglePopover()
}

/** Offers the ways to retry an ended run, the narrowest first; each shows a plan before it starts. */
export function RetryMenu({ run, path }: Props) {
  const [requested, setRequested] = useState<Scope>()
  const menu = useRef<HTMLDivElement>(null)
  const id = useId()
  const over = isOver(run)
  useLetters((key) => {
    const button = menu.current?.previousElementSibling as HTMLElement | null
    // The page has two of these buttons, one of which is visible.
    if (key !== 'r' || button?.offsetParent == null) return false
    openMenu(menu.current!, button)
    menu.current!.querySelector('button')?.focus()
  })
  if (!over) return null
  const target = targetOf(path)
  const scopes = scopesOf(run, target)
  const first: Scope = run.status === 'success' ? 'all' : 'failed'
  return (
    <span className="inline-flex max-sm:w-full">
      <button
        type="button"
        className="button button-main rounded-r-none max-sm:flex-1"
        onClick={() => setRequested(first)}
      >
        <RotateCcw size={14} strokeWidth={1.75} aria-hidden /> {words(first, target)}{' '}
        <kbd className="key max-sm:hidden">R</kbd>
      </button>
      <button
        type="button"
        className="button button-main rounded-l-none border-l-surface/30 px-1.5 max-sm:w-11"
        aria-label="More retry options"
        onClick={({ currentTarget }) => openMenu(menu.current!, currentTarget)}
      >
        <ChevronDown size={14} strokeWidth={1.75} aria-hidden />
      </button>
      <div
        ref={menu}
        id={id}
        popover="auto"
        className="fixed inset-auto m-0 w-64 max-w-[calc(100vw-1rem)] rounded-xl border border-line bg-raised p-1.5 text-ink"
        style={{ boxShadow: 'var(--float)' }}
      >
        {scopes.map((scope) => (
          <button
            key={scope}
            type="button"
            className="flex h-8 w-full items-center gap-2 rounded-md px-2 text-left hover:bg-hover max-sm:h-11"
            onClick={() => {
              menu.current?.hidePopover()
              setRequested(scope)
            }}
          >
            <RotateCcw size={14} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
            <bdi className="truncate">{words(scope, target)}</bdi>
          </button>
        ))}
        {run.blueprint === 'workflow' && run.rolls_back === undefined && (
          <Link
            to="/new"
            search={{ from: run.run_id }}
            className="flex h-8 items-center gap-2 rounded-md px-2 hover:bg-hover max-sm:h-11"
          >
            <RotateCcw size={14} strokeWidth={1.75} aria-hidden className="shrink-0 text-ink3" />
            Run again with these inputs…
          </Link>
        )}
        <p className="px-2 pt-1.5 pb-1 text-label text-ink3">
          Each option first shows what will run again. There you can skip steps or ignore their conditions.
        </p>
      </div>
      <Sheet
        run={run}
        target={target}
        scope={requested}
        scopes={scopes}
        close={() => setRequested(undefined)}
      />
    </span>
  )
}

/** Offers the narrowest retries beside a failure or a step that did not run. In a sub-run they belong to its parent. */
export function RetryHere({ path }: { path: readonly Level[] }) {
  const [requested, setRequested] = useState<{ scope: Scope; skip?: string; anyway?: string }>()
  const { run } = path[0]!
  const { place } = path.at(-1)!
  const target = targetOf(path)
  if (target === undefined || run.rolls_back !== undefined) return null
  if (!isOver(run)) return <p className="text-meta text-ink2">You can retry it when the run has ended.</p>
  const button = (ask: typeof requested, children: ReactNode, title?: string) => (
    <button type="button" className="button" title={title} onClick={() => setRequested(ask)}>
      {children}
    </button>
  )
  const from = button({ scope: 'from' }, 'Retry from this step')
  return (
    <span className="flex flex-wrap gap-2 max-sm:basis-full max-sm:*:flex-1">
      {place.bare ? (
        <>
          {place.step.reason === 'condition' &&
            button(
              { scope: 'instance', anyway: target.step },
              'Run it anyway…',
              'Start a new run that ignores the condition of this step',
            )}
          {from}
        </>
      ) : (
        <>
          {button(
            { scope: 'failed', skip: target.step },
            <>
              <ChevronsRight size={14} strokeWidth={1.75} aria-hidden /> Skip…
            </>,
            'Start a new run without this step. Steps that need it run anyway.',
          )}
          {from}
          {button(
            { scope: 'instance' },
            <>
              <RotateCcw size={14} strokeWidth={1.75} aria-hidden />{' '}
              <bdi className="max-w-40 truncate">Retry {target.word}</bdi>
            </>,
          )}
        </>
      )}
      <Sheet
        run={run}
        target={target}
        scope={requested?.scope}
        skip={requested?.skip}
        anyway={requested?.anyway}
        scopes={scopesOf(run, target)}
        close={() => setRequested(undefined)}
      />
    </span>
  )
}

/** Offers the narrowest retry of the first failure of a listed run; reads the whole run only when pressed. */
export function RetryFailure({ run }: { run: Run }) {
  const client = useQueryClient()
  const [whole, setWhole] = useState<RunDetail>()
  const failure = run.now?.failure
  const isFirst = ({ step, instance }: Level['place']) =>
    step.step === failure?.step && (failure.host === undefined || instance.host === failure.host)
  const failed = whole === undefined ? [] : failedInstances(whole.steps)
  const place = failed.find(isFirst)
  const target = whole && place && targetOf([{ run: whole, place }])
  const host = failure?.host === 'local' ? undefined : failure?.host
  return (
    <>
      <ActionButton
        doing="Loading…"
        act={async () => setWhole(await client.fetchQuery({ ...runQuery(run.run_id), staleTime: 0 }))}
      >
        <RotateCcw size={14} strokeWidth={1.75} aria-hidden />{' '}
        <bdi className="max-w-40 truncate">Retry {host ?? failure?.step ?? 'failed'}…</bdi>
      </ActionButton>
      {whole !== undefined && (
        <Sheet
          run={whole}
          target={target}
          scope={target === undefined || whole.rolls_back !== undefined ? 'failed' : 'instance'}
          scopes={scopesOf(whole, target)}
          close={() => setWhole(undefined)}
        />
      )}
    </>
  )
}

function Sheet({
  scope,
  ...props
}: Omit<Parameters<typeof RetrySheet>[0], 'scope' | 'words'> & { scope: Scope | undefined }) {
  if (scope === undefined) return null
  return (
    <Suspense>
      <RetrySheet key={scope} {...props} scope={scope} words={words} />
    </Suspense>
  )
}

const FEW = 6

/** Shows the run's place in its chain of tries, with links to the others. */
export function RunChain({ run }: { run: RunDetail }) {
  const client = useQueryClient()
  const root = run.first_run ?? run.run_id
  useEffect(() => {
    const again = () => void client.invalidateQueries({ queryKey: ['run', run.run_id], exact: true })
    const chain = new Map((run.chain ?? []).map((link) => [link.run_id, link.status]))
    return liveRuns.read((changed) => {
      if (changed.run_id === run.run_id || (changed.first_run ?? changed.run_id) !== root) return
      if (chain.get(changed.run_id) !== changed.status) again()
    }, again)
  }, [client, run.run_id, run.chain, root])
  const chain = run.chain ?? []
  if (chain.length < 2 || run.try === undefined) return null
  const shown = chain.length <= FEW ? chain : [chain[0]!, ...chain.slice(1 - FEW)]
  return (
    <nav aria-label="Attempts of this run" className="flex items-center gap-1.5">
      <span>
        attempt {run.try} of {run.tries}
      </span>
      <span className="segments">
        {shown.map((link, index) => (
          <Link
            key={link.run_id}
            to="/runs/$run"
            params={{ run: link.run_id }}
            search={{}}
            aria-current={link.run_id === run.run_id ? 'page' : undefined}
            aria-label={`Attempt ${link.try}, ${statusWord(shownStatus(link))}: ${link.run_id}`}
            title={link.run_id}
            className="segment h-5 gap-1 px-1.5 max-sm:h-8"
          >
            <StatusMark shown={shownStatus(link)} size={11} beside />
            {index === 1 && shown.length < chain.length ? '… ' : ''}
            {link.try}
          </Link>
        ))}
      </span>
    </nav>
  )
}
