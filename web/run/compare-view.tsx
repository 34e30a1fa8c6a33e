import { useQuery } from '@tanstack/react-query'
import { X } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { duration, timeOf, useNow } from '../data/clock.ts'
import { useLastGood } from '../data/last-good.ts'
import { getWorkflow, type RunDetail, runQuery, type Step, shownStep } from '../data/runs.ts'
import { useNavigate } from '../navigation/navigation.tsx'
import { StatusMark, statusWord } from '../parts/status-mark.tsx'

/** A smaller difference counts as none: no two runs take the same time. */
const MARGIN_MS = 1000
const MOST_LINES = 400

interface Line {
  name: string
  here: string
  there: string
  mark?: { here: Step | undefined; there: Step | undefined }
  more?: string
  equal: boolean
}

const tookOf = (step: Step | undefined): number | undefined =>
  step?.started_at === undefined || step.finished_at === undefined
    ? undefined
    : Date.parse(step.finished_at) - Date.parse(step.started_at)

function stepLines(run: RunDetail, other: RunDetail): Line[] {
  const key = ({ phase, step }: Step) => (phase === 'main' ? step : `${phase}: ${step}`)
  const [mine, theirs] = [run, other].map(({ steps }) => new Map(steps.map((step) => [key(step), step])))
  return [...new Set([...mine!.keys(), ...theirs!.keys()])].map((name) => {
    const [here, there] = [mine!.get(name), theirs!.get(name)]
    const [a, b] = [tookOf(here), tookOf(there)]
    const by = a === undefined || b === undefined ? 0 : a - b
    const differs = Math.abs(by) >= MARGIN_MS && Math.abs(by) >= (b ?? 0) / 10
    const word = (step: Step | undefined, ms: number | undefined) =>
      step === undefined
        ? 'no such step'
        : `${statusWord(shownStep(step))}${ms === undefined ? '' : `, ${duration(ms)}`}`
    return {
      name,
      ...{ here: word(here, a), there: word(there, b), mark: { here, there } },
      ...(differs ? { more: `${by > 0 ? '+' : '−'}${duration(Math.abs(by))}` } : {}),
      equal: here !== undefined && there !== undefined && shownStep(here) === shownStep(there) && !differs,
    }
  })
}

function valueLines(here: Record<string, string> = {}, there: Record<string, string> = {}): Line[] {
  return [...new Set([...Object.keys(here), ...Object.keys(there)])].map((name) => ({
    name,
    here: here[name] ?? 'not set',
    there: there[name] ?? 'not set',
    equal: here[name] === there[name],
  }))
}

/** Returns the values of a workflow by their paths, such as `steps.build.args.cmd`. */
function leaves(value: unknown, path = ''): Record<string, string> {
  if (typeof value !== 'object' || value === null) return { [path]: String(value) }
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, one]) => {
      const name = Array.isArray(value) && typeof one?.name === 'string' ? one.name : key
      return leaves(one, path === '' ? name : `${path}.${name}`)
    }),
  )
}

/** Compares two runs: steps, durations, inputs, outputs and workflows. It shows only the differences at first. */
export default function CompareView({ run, compare }: { run: RunDetail; compare: string }) {
  const navigate = useNavigate('/runs/$run')
  const now = useNow()
  const isLastGood = compare === 'last-good'
  const lastGood = useLastGood(run, isLastGood)
  const named = useQuery({
    ...runQuery(compare),
    staleTime: 0,
    enabled: !isLastGood,
    retry: false,
  })
  const requested = isLastGood ? lastGood : named
  const other = requested.data ?? undefined
  const texts = useQuery({
    queryKey: ['workflows', run.run_id, other?.run_id],
    queryFn: async ({ signal }) =>
      await Promise.all([getWorkflow(run.run_id, signal), getWorkflow(other!.run_id, signal)]),
    enabled: other !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
  }).data
  const [equal, setEqual] = useState(false)
  const go = (to: string | undefined) => navigate({ search: (was) => ({ ...was, compare: to }) })
  const groups: [string, Line[]][] =
    other === undefined
      ? []
      : [
          ['Steps', stepLines(run, other)],
          ['Inputs', valueLines(run.vars, other.vars)],
          ['Outputs', valueLines(run.outputs, other.outputs)],
          [
            'Workflow',
            texts === undefined ? [] : valueLines(leaves(texts[0].workflow), leaves(texts[1].workflow)),
          ],
        ]
  const differences = groups.flatMap(([, lines]) => lines).filter((line) => !line.equal).length
  return (
    <main aria-label="Compare" className="flex min-h-0 flex-1 flex-col">
      <div className="flex min-h-11 shrink-0 flex-wrap items-center gap-3 border-b border-line px-edge py-2 max-sm:px-3">
        <h2 className="font-semibold">
          {other === undefined
            ? 'Compare'
            : isLastGood
              ? `Compared with the last good run, ${timeOf(other.created_at, now)}`
              : 'Compared with another run'}
        </h2>
        {other !== undefined && (
          <span className="text-meta text-ink2">
            {differences === 0
              ? 'no differences'
              : `${differences} ${differences === 1 ? 'difference' : 'differences'}`}
          </span>
        )}
        <form
          className="ml-auto flex flex-wrap gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            const id = String(new FormData(event.currentTarget).get('run') ?? '').trim()
            if (id !== '') void go(id)
          }}
        >
          <input
            name="run"
            className="field w-56 font-mono text-meta"
            aria-label="ID of the run to compare with"
            placeholder="run_…"
            defaultValue={isLastGood ? '' : compare}
          />
          <button type="submit" className="button">
            Compare
          </button>
          {!isLastGood && (
            <button type="button" className="button" onClick={() => go('last-good')}>
              Last good run
            </button>
          )}
          <button type="button" className="button" aria-pressed={equal} onClick={() => setEqual(!equal)}>
            {equal ? 'Differences only' : 'Show all'}
          </button>
          <button
            type="button"
            className="button button-plain max-sm:min-w-11"
            aria-label="Close comparison"
            onClick={() => go(undefined)}
          >
            <X size={14} strokeWidth={1.75} aria-hidden />
          </button>
        </form>
      </div>
      <section
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        aria-label="Differences"
        className="min-h-0 flex-1 overflow-auto px-edge pb-6 max-sm:px-3"
      >
        {requested.error !== null && (
          <p role="alert" className="py-4 text-ink2">
            {requested.error.message}
          </p>
        )}
        {requested.data === null && (
          <p className="py-4 text-ink2">
            No earlier run of this workflow succeeded. Paste the ID of another run.
          </p>
        )}
        {groups.map(([title, lines]) => (
          <Group key={title} title={title} lines={equal ? lines : lines.filter((line) => !line.equal)} />
        ))}
        {other !== undefined && differences === 0 && !equal && (
          <p className="py-4 text-ink2">Steps, inputs, outputs and workflow are the same in both runs.</p>
        )}
      </section>
    </main>
  )
}

function Group({ title, lines }: { title: string; lines: Line[] }): ReactNode {
  if (lines.length === 0) return null
  const words = ['Name', 'This run', 'Other run', ...(lines.some(({ more }) => more) ? ['Change'] : [])]
  return (
    <table className="mt-4 w-full table-fixed text-left text-meta">
      <caption className="pb-1 text-left font-semibold">{title}</caption>
      <thead className="text-label text-ink2">
        <tr className="border-b border-line">
          {words.map((word, at) => (
            <th
              key={word}
              scope="col"
              className={`py-1 pr-3 font-medium ${at === 3 ? 'w-20 max-sm:w-14' : ''}`}
            >
              {word}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {lines.slice(0, MOST_LINES).map((line) => (
          <tr key={line.name} className={`border-b border-line align-top ${line.equal ? 'text-ink2' : ''}`}>
            <th scope="row" className="py-1.5 pr-3 font-medium break-words">
              <bdi>{line.name}</bdi>
            </th>
            {(['here', 'there'] as const).map((side) => {
              const step = line.mark?.[side]
              return (
                <td key={side} className="py-1.5 pr-3">
                  <span className="flex items-start gap-2">
                    {step !== undefined && (
                      <span className="mt-0.5">
                        <StatusMark shown={shownStep(step)} size={14} beside />
                      </span>
                    )}
                    <bdi
                      className={`min-w-0 break-words whitespace-pre-wrap ${line.mark === undefined ? 'font-mono' : ''}`}
                    >
                      {line[side].slice(0, 4000)}
                    </bdi>
                  </span>
                </td>
              )
            })}
            {words.length > 3 && (
              <td className={`py-1.5 font-mono ${line.more?.startsWith('+') ? 'text-bad' : 'text-ok'}`}>
                {line.more}
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
