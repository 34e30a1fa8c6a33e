import { ArrowDown } from 'lucide-react'
import { type UIEvent, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react'
import { hubNow, timeOf } from '../data/clock.ts'
import type { RunDetail } from '../data/runs.ts'
import { useNavigate } from '../navigation/navigation.tsx'
import { TalkOfRun } from './attachments.tsx'
import { Composer } from './composer.tsx'
import { type Conversation, grouped } from './conversation.ts'
import { EarlierTalk, LaterTalks } from './earlier-talk.tsx'
import { QuestionCard } from './question-card.tsx'
import { ChatRow } from './rows.tsx'

/** Maximum number of rows in the page at once. */
const WINDOW = 120
const STEP = 60

interface Props {
  run: RunDetail
  talk: Conversation
  /** Set if several steps of the run may take inputs. */
  step?: string
  /** Set if several attempts of the step may take inputs. */
  attempt?: number
  /** The session is over. */
  over: boolean
  runner: string | undefined
  /** A prompt may start a run that continues this one. */
  canGoOn: boolean
  /** The answer to a question that nobody answers in time: `allowed` or `denied`. */
  byItself: string
  /** The session is a branch of the earlier session, and not its continuation. */
  branch?: boolean
  hash?: string
  /** False if the session is shared with this person for watching only: no prompts, no answers. */
  mayPrompt?: boolean
  /** The question named in the page's address. */
  linked?: string | undefined
}

/** Shows the conversation, the open question and the field for the next prompt. */
export function Talk({
  run,
  talk,
  step,
  attempt,
  over,
  runner,
  canGoOn,
  byItself,
  branch = false,
  hash = '',
  mayPrompt = true,
  linked,
}: Props) {
  const navigate = useNavigate()
  const { rows } = talk
  const shown = useMemo(() => grouped(rows), [rows])
  /** The row after which the window ends; undefined if it follows the last row. */
  const [end, setEnd] = useState<number>()
  const [lost, setLost] = useState('')
  const question = talk.questions.find(({ request_id }) => request_id === linked) ?? talk.questions[0]
  const list = useRef<HTMLDivElement>(null)
  const last = Math.min(end ?? shown.length, shown.length)
  const first = Math.max(0, last - WINDOW)
  const follows = end === undefined

  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever more is said
  useLayoutEffect(() => {
    const box = list.current
    if (follows && box !== null) box.scrollTop = box.scrollHeight
  }, [follows, shown, question])
  // The content may grow without a new row: code that wraps, a card that opens.
  useEffect(() => {
    const box = list.current
    if (box === null || !follows) return
    const watch = new ResizeObserver(() => {
      box.scrollTop = box.scrollHeight
    })
    watch.observe(box)
    return () => watch.disconnect()
  }, [follows])

  const targetHash = useRef(/^turn:\d+$/.test(hash) ? hash : '')
  useEffect(() => {
    if (targetHash.current === '') return
    const turn = Number(targetHash.current.slice(5))
    const at = shown.findIndex((row) => row.kind === 'prompt' && row.turn === turn)
    if (at < 0) return
    const id = targetHash.current
    targetHash.current = ''
    setEnd(Math.min(shown.length, at + STEP))
    requestAnimationFrame(() => document.getElementById(id)?.scrollIntoView())
  }, [shown])

  const scrolled = ({ currentTarget: box }: UIEvent) => {
    const below = box.scrollHeight - box.scrollTop - box.clientHeight
    if (below < 8) {
      if (!follows && last >= shown.length) setEnd(undefined)
    } else if (follows && below > 40) setEnd(shown.length)
  }
  // The link of a notice: if the question has been answered, say by whom, how and when.
  const seenHash = useRef<string>(undefined)
  useEffect(() => {
    if (linked === undefined || seenHash.current === linked) return
    const row = rows.findLast((one) => one.kind === 'answered' && one.id === linked)
    if (row?.kind !== 'answered') return
    seenHash.current = linked
    const done = row.decision === 'allow' ? 'allowed' : 'denied'
    setLost(`This question was already answered: ${done} by ${row.by}, ${timeOf(row.time, hubNow())}.`)
  }, [linked, rows])
  const reportLost = useCallback((message: string) => setLost(message), [])
  return (
    <div className="flex min-h-0 min-w-0 flex-1 flex-col max-sm:justify-end">
      <div className="relative flex min-h-0 flex-1 flex-col">
        <section
          ref={list}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
          tabIndex={0}
          aria-label="Conversation"
          className="min-h-0 flex-1 overflow-y-auto"
          onScroll={scrolled}
        >
          <div className="mx-auto flex max-w-[780px] flex-col gap-3 px-6 py-5 max-sm:px-4">
            {first === 0 && run.continues !== undefined && (
              <EarlierTalk run={run.continues} branch={branch} />
            )}
            {first > 0 && (
              <button type="button" className="button self-center" onClick={() => setEnd(last - STEP)}>
                {first} earlier
              </button>
            )}
            <TalkOfRun value={run.run_id}>
              {shown.slice(first, last).map((row) => (
                <ChatRow key={row.key} row={row} />
              ))}
            </TalkOfRun>
            {last < shown.length && (
              <button
                type="button"
                className="button self-center"
                onClick={() => setEnd(last + STEP >= shown.length ? undefined : last + STEP)}
              >
                {shown.length - last} later
              </button>
            )}
            {shown.length === 0 && (
              <p className="text-ink2">{run.waiting ?? (over ? 'No messages.' : 'The agent is starting.')}</p>
            )}
            {talk.busy && question === undefined && !over && (
              <p className="flex items-center gap-2 text-meta text-ink2">
                <span className="size-1.5 animate-pulse rounded-full bg-accent motion-reduce:animate-none" />
                {talk.agent ?? 'The agent'} is working
              </p>
            )}
            {over && <LaterTalks run={run.run_id} />}
            {talk.idleUntil !== undefined && !over && (
              <p className="text-meta text-ink2">
                {talk.agent ?? 'The agent'} is waiting for your next prompt.
              </p>
            )}
          </div>
        </section>
        {!follows && (
          <button
            type="button"
            className="button absolute bottom-3 left-1/2 -translate-x-1/2 shadow-(--float)"
            onClick={() => setEnd(undefined)}
          >
            <ArrowDown size={14} strokeWidth={1.75} aria-hidden /> Jump to the end
          </button>
        )}
      </div>
      {/* On a phone this is a sheet, which covers the content above it if there is no room. */}
      <div className="mx-auto flex w-full max-w-[780px] shrink-0 flex-col gap-3 px-6 pb-4 max-sm:relative max-sm:z-20 max-sm:gap-0 max-sm:px-0 max-sm:pb-0">
        {lost !== '' && (
          <p role="alert" className="flex items-center gap-2 rounded-lg bg-bad-soft px-3 py-2 text-meta">
            <span className="flex-1">{lost}</span>
            <button type="button" className="text-ink2 hover:text-ink" onClick={() => setLost('')}>
              Close
            </button>
          </p>
        )}
        <span className="sr-only" role="alert">
          {question !== undefined && `${question.agent ?? 'The agent'} asks: ${question.title.slice(0, 200)}`}
        </span>
        {!mayPrompt && (
          <p className="rounded-lg bg-idle px-3 py-2 text-meta text-ink2 max-sm:m-2">
            You can only watch this session of {run.owner}.
            {question !== undefined && !over && ` ${question.agent ?? 'The agent'} is waiting for an answer.`}{' '}
            To take part, ask {run.owner} for access.
          </p>
        )}
        {question !== undefined && !over && mayPrompt && (
          <QuestionCard
            key={question.request_id}
            run={run.run_id}
            {...{ question, attempt }}
            more={talk.questions.length - 1}
            runner={runner}
            byItself={byItself}
            lost={reportLost}
          />
        )}
        {(!over || canGoOn) && mayPrompt && (
          <div className={`max-sm:p-2 ${question === undefined || over ? '' : 'max-sm:hidden'}`}>
            <Composer
              run={run.run_id}
              busy={talk.busy}
              over={over}
              queue={talk.queue}
              forks={talk.forks && canGoOn}
              {...{ step, attempt }}
              goesOn={(id) => void navigate({ to: '/runs/$run', params: { run: id }, search: {}, hash: '' })}
            />
          </div>
        )}
      </div>
    </div>
  )
}
