import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { Check, ChevronsRight, Minus, RotateCcw } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import type { ApiError } from '../data/api.ts'
import {
  beginRetry,
  planRetry,
  type RetryPlan,
  type RetryRun,
  type RetryStep,
  retryOf,
  type Scope,
  type Target,
} from '../data/retries.ts'
import type { RunDetail } from '../data/runs.ts'
import { useNavigate } from '../navigation/navigation.tsx'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import { CommandLine } from '../parts/cli-line.tsx'

interface Props {
  run: RunDetail
  target: Target | undefined
  scope: Scope
  scopes: readonly Scope[]
  words: (scope: Scope, target: Target | undefined) => string
  /** A step that is skipped initially. */
  skip?: string | undefined
  /** A step that initially runs regardless of its condition. */
  anyway?: string | undefined
  close: () => void
}

/** Shows a retry before it starts: what runs again, what is taken over, and what can be changed. */
export function RetrySheet({
  run,
  target,
  scope: first,
  scopes,
  words,
  skip: out,
  anyway: past,
  close,
}: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const navigate = useNavigate()
  const [scope, setScope] = useState(first)
  const [skip, setSkip] = useState<readonly string[]>(out === undefined ? [] : [out])
  const [anyway, setAnyway] = useState<readonly string[]>(past === undefined ? [] : [past])
  const retry: RetryRun = {
    ...retryOf(scope, target),
    ...(skip.length > 0 ? { skip: [...skip] } : {}),
    ...(anyway.length > 0 ? { run_anyway: [...anyway] } : {}),
  }
  const { data: plan, error } = useQuery<RetryPlan, ApiError>({
    queryKey: ['retry-plan', run.run_id, retry],
    queryFn: ({ signal }) => planRetry(run.run_id, retry, signal),
    placeholderData: keepPreviousData,
    staleTime: 5000,
    retry: false,
    enabled: run.rolls_back === undefined,
  })
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const choose = (next: Scope) => {
    setScope(next)
    setSkip([])
    setAnyway([])
  }
  const named = scope === 'from' || scope === 'instance' ? target?.step : undefined
  const toggled = (names: readonly string[], name: string) =>
    names.includes(name) ? names.filter((one) => one !== name) : [...names, name]
  const refused = error !== null
  return (
    <dialog
      ref={dialog}
      className="sheet flex max-h-[min(44rem,calc(100dvh-2rem))] w-[min(38rem,calc(100vw-1.5rem))] flex-col whitespace-normal not-open:hidden"
      aria-labelledby="retry-title"
      onClose={close}
    >
      <h2 id="retry-title" className="text-page font-semibold">
        <bdi>{run.rolls_back === undefined ? words(scope, target) : 'Roll back again'}</bdi>
      </h2>
      <p className="mt-1 text-ink2">
        {run.rolls_back === undefined
          ? `Starts a new run of ${run.workflow_name}${plan === undefined ? '' : ` (attempt ${plan.try})`}. This run does not change.`
          : 'Steps that this rollback has undone stay undone. It retries the others.'}
      </p>
      {scopes.length > 1 && run.rolls_back === undefined && (
        <fieldset className="segments mt-3 shrink-0 max-sm:flex-col">
          <legend className="sr-only">What runs again</legend>
          {scopes.map((one) => (
            <button
              key={one}
              type="button"
              aria-pressed={scope === one}
              className="segment block min-w-0 flex-1 truncate px-2 max-sm:flex-none sm:h-7"
              onClick={() => choose(one)}
            >
              <bdi>{shortWords(one, target)}</bdi>
            </button>
          ))}
        </fieldset>
      )}
      {refused && (
        <div className="mt-3">
          <Failure error={error} />
        </div>
      )}
      {plan !== undefined && (
        <>
          <Figures plan={plan} />
          <ul
            aria-label="What happens to each step"
            className="min-h-0 flex-1 overflow-y-auto rounded-lg border border-line"
          >
            {plan.steps.map((step) => (
              <StepLine
                key={`${step.phase} ${step.step}`}
                step={step}
                isNamed={named !== undefined && (step.step === named || named.startsWith(`${step.step} > `))}
                skipped={skip.includes(step.step)}
                anyway={anyway.includes(step.step)}
                skip={() => {
                  setSkip(toggled(skip, step.step))
                  setAnyway(anyway.filter((one) => one !== step.step))
                }}
                runAnyway={() => {
                  setAnyway(toggled(anyway, step.step))
                  setSkip(skip.filter((one) => one !== step.step))
                }}
              />
            ))}
          </ul>
          <CommandLine command={plan.cli} />
        </>
      )}
      <div className="mt-4 flex shrink-0 justify-end gap-2 max-sm:*:flex-1">
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          Not now <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
        {!refused && (
          <ActionButton
            kind="main"
            className="max-sm:w-full"
            doing="Starting…"
            act={async (key) => {
              const body = run.rolls_back === undefined ? retry : {}
              const { run_id } = await beginRetry(run.run_id, body, key)
              dialog.current?.close()
              await navigate({ to: '/runs/$run', params: { run: run_id }, search: {}, hash: '' })
            }}
          >
            {plan === undefined ? 'Start' : `Start attempt ${plan.try}`}
          </ActionButton>
        )}
      </div>
    </dialog>
  )
}

function shortWords(scope: Scope, target: Target | undefined): string {
  if (scope === 'instance') return target?.word ?? ''
  if (scope === 'from') return `from ${target?.step ?? ''}`
  return scope === 'failed' ? 'failed steps' : 'everything'
}

function Figures({ plan }: { plan: RetryPlan }) {
  const parts: [number, string][] = [
    [plan.again, plan.again === 1 ? 'runs' : 'run'],
    [plan.taken_over, plan.taken_over === 1 ? 'result reused' : 'results reused'],
    [plan.kept, plan.kept === 1 ? 'stays unchanged' : 'stay unchanged'],
    [plan.skipped, 'skipped'],
  ]
  return (
    <p className="mt-3 mb-2 flex flex-wrap gap-x-4 gap-y-1" aria-live="polite">
      {parts
        .filter(([count], index) => count > 0 || index === 0)
        .map(([count, word]) => (
          <span key={word} className="text-ink2">
            <b className="font-semibold text-ink">{count}</b> {word}
          </span>
        ))}
    </p>
  )
}

const marks = {
  again: { Icon: RotateCcw, tone: 'text-accent' },
  taken_over: { Icon: Check, tone: 'text-ok' },
  kept: { Icon: Minus, tone: 'text-ink3' },
  skipped: { Icon: ChevronsRight, tone: 'text-ink3' },
} as const

interface LineProps {
  step: RetryStep
  isNamed: boolean
  skipped: boolean
  anyway: boolean
  skip: () => void
  runAnyway: () => void
}

function StepLine({ step, isNamed, skipped, anyway, skip, runAnyway }: LineProps) {
  const does =
    step.again > 0 || (step.unknown && step.taken_over + step.kept + step.skipped === 0)
      ? 'again'
      : step.skipped > 0
        ? 'skipped'
        : step.kept > 0
          ? 'kept'
          : 'taken_over'
  const { Icon, tone } = marks[does]
  const canChoose = step.phase === 'main' && (does === 'again' || skipped || anyway)
  return (
    <li className="flex min-h-8 items-center gap-2.5 border-b border-line px-3 py-1 last:border-b-0">
      <Icon size={14} strokeWidth={1.75} aria-hidden className={`shrink-0 ${tone}`} />
      <span className="min-w-0 flex-1 truncate">
        <bdi className={does === 'again' ? 'font-medium' : 'text-ink2'}>{step.step}</bdi>{' '}
        <bdi className="text-meta text-ink2">{lineText(step, does)}</bdi>
      </span>
      {canChoose && (step.conditional || anyway) && !skipped && (
        <Toggle on={anyway} press={runAnyway} word="ignore condition" of={step.step} />
      )}
      {canChoose && !isNamed && <Toggle on={skipped} press={skip} word="skip" of={step.step} />}
    </li>
  )
}

function Toggle({ on, press, word, of }: { on: boolean; press: () => void; word: string; of: string }) {
  return (
    <button
      type="button"
      aria-pressed={on}
      aria-label={`${word}: ${of}`}
      className="h-6 shrink-0 rounded-md border border-line2 px-2 text-label text-ink2 hover:bg-hover aria-pressed:border-accent aria-pressed:bg-accent-soft aria-pressed:text-accent max-sm:h-9"
      onClick={press}
    >
      {word}
    </button>
  )
}

/** Returns a few words about what the retry does with a step. */
function lineText(step: RetryStep, does: keyof typeof marks): string {
  if (step.phase === 'finally') return 'runs at the end, as always'
  const { taken_over, kept, skipped, again } = step
  const all = taken_over + kept + skipped + again
  const running = step.instances.filter((one) => one.does === 'again')
  if (does === 'again') {
    if (step.unknown && again === 0) return 'runs; hosts and instances are not known yet'
    const names = running.slice(0, 3).map(({ host, vars }) => [host, ...Object.values(vars ?? {})].join(' '))
    const more = again > names.length ? ` and ${again - names.length} more` : ''
    const rest = [
      taken_over > 0 ? `${taken_over} reused` : '',
      kept > 0 ? `${kept} ${kept === 1 ? 'stays' : 'stay'} unchanged` : '',
      step.conditional ? 'if its condition is true' : '',
    ].filter((text) => text !== '')
    const where =
      names.length === 1 && names[0] === 'local' && all === 1 ? 'runs' : `runs on ${names.join(', ')}${more}`
    return [where, ...rest].join(', ')
  }
  const many = all > 1 ? `${all} ` : ''
  if (does === 'skipped')
    return taken_over > 0 ? `${skipped} skipped, ${taken_over} reused` : `${many}skipped`
  if (does === 'kept') return taken_over > 0 ? `${kept} unchanged, ${taken_over} reused` : 'stays unchanged'
  return `${many}reused`
}
