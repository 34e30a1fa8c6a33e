import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { RunOutline } from '../../src/contract/runs/run-parts.ts'
import { wordsOf } from '../data/page-words.ts'
import { outlineQuery, type Step, shownStep } from '../data/runs.ts'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'
import { firstOf, instanceName, levelWord } from './chosen-instance.ts'
import type { Level } from './chosen-path.ts'
import { RetryHere } from './retry-menu.tsx'

type Written = RunOutline['steps'][number]

/** Shows a step without instances: why it has none, and what to do about it. */
export default function StepAlone({
  path,
  open,
}: {
  path: readonly Level[]
  open: (names: readonly string[]) => void
}) {
  const { run, place } = path.at(-1)!
  const { step } = place
  const { data: file } = useQuery(outlineQuery(run.run_id))
  const main = run.steps.filter(({ phase }) => phase === 'main')
  const own = (step.phase === 'finally' ? file?.finally : file?.steps)?.find(({ name }) => name === step.step)
  const isGraph = file?.steps.some(({ needs }) => needs !== undefined)
  const before = main[main.indexOf(step) - 1]
  const needs = isGraph ? (own?.needs ?? []) : before === undefined ? [] : [before.step]
  const needed = main.filter((one) => step.phase === 'main' && needs.includes(one.step))
  const shown = shownStep(step)
  const names = path.slice(0, -1).map((level) => instanceName(level.place))
  return (
    <section
      aria-label={`Step ${step.step}`}
      className="flex min-h-0 min-w-0 flex-1 flex-col overflow-y-auto"
    >
      <div className="flex min-h-[38px] shrink-0 flex-wrap items-center gap-x-2 border-b border-line px-4 py-1">
        <StatusMark shown={shown} size={14} />
        {path.slice(0, -1).map((level, at) => (
          <button
            key={names[at]}
            type="button"
            className="truncate text-ink2 hover:text-ink"
            onClick={() => open(names.slice(0, at + 1))}
          >
            <bdi>{levelWord(level.place)}</bdi> /
          </button>
        ))}
        <h2 className="truncate font-semibold">
          <bdi>{step.phase === 'main' ? step.step : `${step.phase}: ${step.step}`}</bdi>
        </h2>
        <span className="text-ink2">{statusWord(shown)}</span>
      </div>
      <div className="flex flex-wrap items-start gap-3 border-b border-line px-4 py-3">
        <div className="min-w-0 flex-1 basis-64">
          <p className="break-words">
            <Why step={step} written={own} over={run.finished_at !== undefined} />
          </p>
          {needed.length > 0 && (
            <p className="mt-1.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-meta text-ink2">
              Needs
              {needed.map((one) => (
                <button
                  key={one.step}
                  type="button"
                  className="flex min-h-6 items-center gap-1.5 text-ink hover:underline max-sm:min-h-11"
                  onClick={() => open([...names, instanceName(firstOf(one))])}
                >
                  <StatusMark shown={shownStep(one)} size={13} />
                  <bdi>{one.step}</bdi>
                </button>
              ))}
            </p>
          )}
        </div>
        {shown === 'skipped' && <RetryHere path={path} />}
      </div>
    </section>
  )
}

/** Gives the reason why a step has no instances. */
function Why({
  step: { status, reason, message, on_demand },
  written,
  over,
}: {
  step: Step
  written: Written | undefined
  over: boolean
}): ReactNode {
  const code = (text: string) => <code className="font-mono text-meta break-all">{text}</code>
  const list = written?.foreach
  if (reason === 'condition')
    return (
      <>
        Did not run: its condition is false
        {written?.when === undefined ? '.' : <>: {code(written.when)}</>}
      </>
    )
  if (reason === 'upstream') return <>Did not run: {message ?? 'a needed step did not succeed'}.</>
  if (reason === 'left_out') return <>Skipped by the person who retried the run.</>
  if (status === 'queued')
    return over ? (
      <>The run ended before this step started.</>
    ) : on_demand ? (
      <>Runs only if it is needed.</>
    ) : (
      <>Not started yet. It starts when the steps that it needs are done.</>
    )
  if (status === 'success')
    return <>Nothing to do: the list{list === undefined ? '' : <> {code(list)}</>} is empty.</>
  if (status === 'failed')
    return (
      <>
        <b className="mr-2 font-mono font-semibold text-bad">{wordsOf(reason ?? 'failed')}</b>
        <bdi>{message ?? 'Failed before any instance started.'}</bdi>
      </>
    )
  return (
    <>
      No instances{reason === undefined ? '' : <> ({wordsOf(reason)})</>}
      {message === undefined ? '.' : <>: {message}</>}
    </>
  )
}
