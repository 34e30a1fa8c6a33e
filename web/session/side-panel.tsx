import { Check, ChevronLeft, Circle, CircleDot } from 'lucide-react'
import { lazy, Suspense } from 'react'
import type { Budget } from '../../src/contract/agent.ts'
import { clockOf, useNow } from '../data/clock.ts'
import { VisibleText } from '../parts/visible-text.tsx'
import type { Conversation } from './conversation.ts'
import type { ChangedFile } from './file-changes.ts'
import { Counted, DiffView } from './rows.tsx'

export type Panel = 'changes' | 'files' | 'plan' | 'usage'

const SessionChanges = lazy(() => import('./session-changes.tsx'))
const SessionFiles = lazy(() => import('./session-files.tsx'))

interface Props {
  talk: Conversation
  files: readonly ChangedFile[]
  budget: Partial<Budget>
  run: string
  /**
   * The panel that the address names. Undefined if it names none: then the panel shows if there is room beside the
   * conversation.
   */
  panel: Panel | undefined
  against: string | undefined
  file: string | undefined
  choose: (panel: Panel | undefined, file?: string, against?: string) => void
  until: string | undefined
  /** This person may send prompts, and so write comments. */
  mayPrompt: boolean
}

/** The panel beside the conversation: changed files, the plan, and usage. */
export function SidePanel({
  talk,
  files,
  budget,
  run,
  panel: chosen,
  against,
  file,
  choose,
  until,
  mayPrompt,
}: Props) {
  const panel = chosen ?? 'changes'
  const live = until === undefined
  // Reported edits, plus the end of each turn, since commands change files too.
  const editCount = files.reduce((sum, { edits }) => sum + edits.length, 0)
  const version = `${talk.turns}.${talk.busy ? 1 : 0}.${editCount}.${live ? 1 : 0}`
  const done = talk.plan.filter(({ status }) => status === 'completed').length
  const tabs: [Panel, string, string][] = [
    ['changes', 'Changes', files.length === 0 ? '' : String(files.length)],
    ['files', 'Files', ''],
    ['plan', 'Plan', talk.plan.length === 0 ? '' : `${done}/${talk.plan.length}`],
    ['usage', 'Usage', ''],
  ]
  return (
    <aside
      aria-label="Session details"
      className={`flex w-[42%] max-w-[560px] min-w-72 shrink-0 flex-col border-l border-line max-lg:w-full max-lg:max-w-none max-lg:border-0 ${chosen === undefined ? 'max-lg:hidden' : ''}`}
    >
      <div className="flex shrink-0 border-b border-line px-1.5">
        <button
          type="button"
          aria-label="Back to the conversation"
          className="hidden px-2 max-lg:block max-sm:min-h-11 max-sm:min-w-11"
          onClick={() => choose(undefined)}
        >
          <ChevronLeft size={18} strokeWidth={1.75} aria-hidden />
        </button>
        <div role="tablist" aria-label="Session panels" className="flex min-w-0">
          {tabs.map(([one, word, count]) => (
            <button
              key={one}
              type="button"
              role="tab"
              aria-selected={panel === one}
              className="tab"
              onClick={() => choose(one)}
            >
              {word} <span className="text-ink3">{count}</span>
            </button>
          ))}
        </div>
      </div>
      <div role="tabpanel" aria-label={panel} className="flex min-h-0 flex-1 flex-col overflow-y-auto">
        <Suspense fallback={<div className="flex-1" aria-busy="true" />}>
          {panel === 'changes' && (
            <SessionChanges
              {...{ run, live, version }}
              view={{ commit: against === undefined ? undefined : Number(against), file }}
              show={({ commit, file }) => choose('changes', file, commit?.toString())}
              comments={mayPrompt}
              otherwise={<Changes files={files} file={file} choose={choose} />}
            />
          )}
          {panel === 'files' && (
            <SessionFiles {...{ run, live, version, file }} choose={(path) => choose('files', path)} />
          )}
        </Suspense>
        {panel === 'plan' && <Plan talk={talk} />}
        {panel === 'usage' && <Used talk={talk} budget={budget} until={until} />}
      </div>
      <Cost talk={talk} budget={budget} until={until} />
    </aside>
  )
}

function Changes({ files, file, choose }: Pick<Props, 'files' | 'file' | 'choose'>) {
  if (files.length === 0) return <p className="p-4 text-meta text-ink2">No files changed yet.</p>
  const chosen = files.find(({ path }) => path === file) ?? files[0]!
  const base = commonFolder(files.map(({ path }) => path))
  return (
    <>
      <ul>
        {files.slice(0, 500).map(({ path, edits, whole, added, removed }) => (
          <li key={path}>
            <button
              type="button"
              aria-pressed={path === chosen.path}
              className="flex min-h-[30px] w-full items-center gap-3 px-4 text-left font-mono text-meta hover:bg-hover aria-pressed:bg-sel"
              onClick={() => choose('changes', path)}
            >
              <bdi className="min-w-0 flex-1 truncate" title={path}>
                <span className="text-ink2">
                  <VisibleText text={path.slice(base.length, path.lastIndexOf('/') + 1)} />
                </span>
                <VisibleText text={path.slice(path.lastIndexOf('/') + 1)} />
              </bdi>
              {whole === undefined && (
                <span
                  className="font-sans text-label text-ink3"
                  title="The sum of all edits. How many of these lines are still changed is not known."
                >
                  in {edits.length} edits
                </span>
              )}
              <Counted added={added} removed={removed} />
            </button>
          </li>
        ))}
      </ul>
      <h2 className="border-y border-line bg-sunken px-4 py-1.5 font-mono text-meta break-all">
        <bdi title={chosen.path}>
          <VisibleText text={chosen.path.slice(base.length)} />
        </bdi>
      </h2>
      {(chosen.whole === undefined ? chosen.edits.slice(-20) : [chosen.whole]).map((diff, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: changes are only added at the end
        <DiffView key={at} diff={diff} named={false} />
      ))}
    </>
  )
}

/** Returns the folder that contains all paths, with its slash; for a single file, all but the last three parts. */
function commonFolder([first = '', ...others]: readonly string[]): string {
  const parts = first.split('/').slice(0, others.length === 0 ? -3 : -1)
  for (; parts.length > 0; parts.pop()) {
    const folder = `${parts.join('/')}/`
    if (others.every((path) => path.startsWith(folder))) return folder
  }
  return ''
}

const planMarks = { pending: Circle, in_progress: CircleDot, completed: Check }
const planWords = { pending: 'to do', in_progress: 'in progress', completed: 'done' }

function Plan({ talk }: { talk: Conversation }) {
  if (talk.plan.length === 0) return <p className="p-4 text-meta text-ink2">No plan yet.</p>
  return (
    <ol className="flex flex-col gap-2 p-4">
      {talk.plan.map(({ text, status }, at) => {
        const Mark = planMarks[status]
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: a plan is told as a whole
          <li key={at} className={`flex gap-2 ${status === 'completed' ? 'text-ink2' : ''}`}>
            <Mark
              size={14}
              strokeWidth={1.75}
              className={`mt-0.5 shrink-0 ${status === 'completed' ? 'text-ok' : 'text-ink3'}`}
              aria-label={planWords[status]}
            />
            <bdi className="min-w-0 break-words">{text}</bdi>
          </li>
        )
      })}
    </ol>
  )
}

const count = (value: number): string =>
  value < 1000
    ? String(value)
    : value < 1e6
      ? `${(value / 1000).toFixed(1)}k`
      : `${(value / 1e6).toFixed(2)}M`

export const money = (value: number): string => `$${value.toFixed(value < 0.1 && value > 0 ? 4 : 2)}`

function Used({
  talk: { usage, turns, modelTurns, startedAt },
  budget,
  until,
}: Pick<Props, 'talk' | 'budget' | 'until'>) {
  const now = useNow()
  const worked =
    startedAt === undefined ? 0 : (until === undefined ? now : Date.parse(until)) - Date.parse(startedAt)
  const tokens =
    usage === undefined ? undefined : usage.input_tokens + usage.cached_input_tokens + usage.output_tokens
  const rows: [string, string, string | undefined][] = [
    [
      'Cost',
      usage?.cost_usd === undefined ? 'not reported' : money(usage.cost_usd),
      limit(budget.cost_usd, money),
    ],
    ['Tokens', tokens === undefined ? 'not reported' : count(tokens), limit(budget.tokens, count)],
    ['Input', count(usage?.input_tokens ?? 0), undefined],
    ['Cached input', count(usage?.cached_input_tokens ?? 0), undefined],
    ['Output', count(usage?.output_tokens ?? 0), undefined],
    ['Turns in this session', String(turns), undefined],
    ['Model turns', String(modelTurns), limit(budget.turns, String)],
    ['Time', clockOf(worked), limit(budget.seconds, (seconds) => clockOf(seconds * 1000))],
  ]
  return (
    <dl className="grid grid-cols-[1fr_auto] gap-x-4 gap-y-2 p-4">
      {rows.map(([name, value, most]) => (
        <div key={name} className="contents">
          <dt className="text-ink2">{name}</dt>
          <dd className="text-right font-mono text-meta">
            {value}
            {most !== undefined && <span className="text-ink2"> of {most}</span>}
          </dd>
        </div>
      ))}
    </dl>
  )
}

const limit = (value: number | undefined, word: (value: number) => string): string | undefined =>
  value === undefined ? undefined : word(value)

/** The share of a budget from which it is shown in amber. */
const NEAR = 0.8

/** Shows the model's turns against their maximum, or nothing if there is no maximum. */
export function TurnsUsed({ talk: { modelTurns }, budget: { turns } }: Pick<Props, 'talk' | 'budget'>) {
  if (turns === undefined) return null
  return (
    <span
      className={`whitespace-nowrap ${modelTurns >= NEAR * turns ? 'text-ask' : ''}`}
      title="Model turns, as far as the agent reports them"
    >
      {Math.min(modelTurns, turns)} of {turns} {turns === 1 ? 'turn' : 'turns'}
    </span>
  )
}

/** Shows cost or tokens, and turns, against their maximum. */
function Cost({ talk, budget, until }: Pick<Props, 'talk' | 'budget' | 'until'>) {
  const { usage, startedAt } = talk
  const now = useNow()
  const tokens =
    usage === undefined ? 0 : usage.input_tokens + usage.cached_input_tokens + usage.output_tokens
  const byCost = budget.cost_usd !== undefined || usage?.cost_usd !== undefined
  const [used, most] = byCost ? [usage?.cost_usd ?? 0, budget.cost_usd] : [tokens, budget.tokens]
  const word = byCost ? money : (value: number) => `${count(value)} tokens`
  const part = most === undefined ? 0 : Math.min(1, used / most)
  const worked =
    startedAt === undefined ? 0 : (until === undefined ? now : Date.parse(until)) - Date.parse(startedAt)
  return (
    <footer className="flex shrink-0 flex-col gap-1 border-t border-line px-4 py-2.5 text-meta text-ink2">
      <p className="flex flex-wrap items-center gap-x-2.5">
        <b className="font-mono font-semibold text-ink">{word(used)}</b>
        {most !== undefined && (
          <>
            <span className="whitespace-nowrap">of {word(most)}</span>
            <svg
              role="img"
              aria-label={`${Math.round(part * 100)}% of the budget`}
              className="h-1.5 min-w-8 flex-1 overflow-hidden rounded-full bg-idle"
              viewBox="0 0 100 6"
              preserveAspectRatio="none"
            >
              <rect width={part * 100} height="6" fill={part >= NEAR ? 'var(--ask-fill)' : 'var(--ink2)'} />
            </svg>
          </>
        )}
        <span className="ml-auto flex items-baseline gap-2.5">
          <TurnsUsed {...{ talk, budget }} />
          <span className="font-mono whitespace-nowrap">
            {clockOf(worked)}
            {budget.seconds !== undefined && ` of ${clockOf(budget.seconds * 1000)}`}
          </span>
        </span>
      </p>
      {usage !== undefined && (
        <p className="flex gap-3 font-mono text-label">
          <span>{count(usage.input_tokens)} in</span>
          <span>{count(usage.cached_input_tokens)} from cache</span>
          <span>{count(usage.output_tokens)} out</span>
        </p>
      )}
    </footer>
  )
}
