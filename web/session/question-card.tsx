import { Pencil } from 'lucide-react'
import { useCallback, useEffect, useRef, useState } from 'react'
import { type ApiError, newKey } from '../data/api.ts'
import { permissionLost } from '../data/approvals.ts'
import { clockOf } from '../data/clock.ts'
import { giveInput } from '../data/sessions.ts'
import { Failure } from '../parts/action-button.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { useLetters } from '../parts/letters.ts'
import { StatusMark } from '../parts/status-mark.tsx'
import { useLeft } from '../parts/time-left.ts'
import { VisibleText } from '../parts/visible-text.tsx'
import type { Question } from './conversation.ts'
import { EditedInput } from './edited-input.tsx'
import { argumentsOf, commandOf, wholeInput } from './tool-input.ts'

/** Milliseconds for which a button ignores input after it appeared under a finger or a key. */
const DEAF_MS = 500

const questionTexts: Record<string, string> = {
  execute: 'wants to run a command',
  edit: 'wants to change a file',
  delete: 'wants to delete a file',
  move: 'wants to move a file',
  read: 'wants to read a file',
  search: 'wants to search',
  fetch: 'wants to fetch from the network',
}

interface Props {
  run: string
  question: Question
  /** The attempt that asks, if several agents of the run may ask. */
  attempt: number | undefined
  /** Number of questions that wait behind this one. */
  more: number
  runner: string | undefined
  /** The answer that applies if nobody answers in time: `allowed` or `denied`. */
  byItself: string
  /** Called with a message if somebody else answered first. */
  lost: (message: string) => void
}

/**
 * Shows an agent's question: all that it wants to do, and the answers. The card does not take the focus, and ignores
 * keys at first.
 */
export function QuestionCard({ run, question, attempt, more, runner, byItself, lost }: Props) {
  const [busy, setBusy] = useState<'allow' | 'deny'>()
  const [failure, setFailure] = useState<ApiError>()
  const [seen, setSeen] = useState(false)
  /** The reason for denying, while a person types it. */
  const [reason, setReason] = useState<string>()
  const [isListening, setIsListening] = useState(false)
  const keys = useRef<Record<string, string>>({})
  const box = useRef<HTMLDivElement>(null)
  const field = useRef<HTMLInputElement>(null)
  const writes = reason !== undefined
  const [edits, setEdits] = useState(false)
  useEffect(() => {
    if (writes) field.current?.focus()
  }, [writes])
  const end = useRef<HTMLSpanElement>(null)
  const { request_id, title, tool_kind = '', input, paths = [], expires_at } = question

  useEffect(() => {
    const timer = setTimeout(() => setIsListening(true), DEAF_MS)
    const watch = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) setSeen(true)
      },
      { root: box.current },
    )
    watch.observe(end.current!)
    return () => {
      clearTimeout(timer)
      watch.disconnect()
    }
  }, [])

  const answer = useCallback(
    async (
      decision: 'allow' | 'deny',
      more: { scope?: 'session'; reason?: string; input?: Record<string, unknown> } = {},
    ) => {
      // Somebody who typed a reason or an input has seen the question.
      const deaf = !isListening && more.reason === undefined && more.input === undefined
      if (busy !== undefined || deaf) return
      if (decision === 'allow' && !seen) return
      setBusy(decision)
      setFailure(undefined)
      // Each different answer is a request of its own.
      const whole = JSON.stringify({ decision, ...more })
      keys.current[whole] ??= newKey()
      try {
        await giveInput(run, { permission: { request_id, decision, ...more }, attempt }, keys.current[whole])
        return
      } catch (error) {
        const refused = error as ApiError
        // If the answer got lost, the same key is sent again.
        if (refused.status !== 0) keys.current = {}
        const message = permissionLost(decision, refused)
        if (message !== undefined) lost(message)
        else setFailure(refused)
      }
      setBusy(undefined)
    },
    [busy, isListening, seen, run, attempt, request_id, lost],
  )

  useLetters((key, { repeat }) => {
    // A key pressed on a button or link is meant for it.
    if (repeat || /^(INPUT|BUTTON|A)$/.test(document.activeElement?.tagName ?? '')) return false
    if (key === 'a') void answer('allow')
    else if (key === 'd') void answer('deny')
    else return false
  })

  const command = commandOf(input)
  const rest = argumentsOf(input).filter(([, text]) => text !== command)
  // A title beyond the command itself, and beyond a mere `Run`, may say more than the command does.
  const isInTitle = command !== undefined && title.replace(command, '').length <= 4
  const folder = tool_kind === 'execute' && paths.length === 1 ? paths[0] : undefined
  const unsaid = paths.filter(
    (path) => path !== folder && !title.includes(path) && !(input ?? '').includes(path),
  )
  // An input that was cut cannot be told from another: the agent asks about it each time.
  const repeats = input === undefined ? paths.length > 0 : !/… \(\d+ bytes in all\)$/.test(input)
  const edited = question.editable ? wholeInput(input) : undefined
  const dullAllow = busy !== undefined || !isListening || !seen
  const left = useLeft(expires_at)
  return (
    <section
      aria-label="Question"
      className="flex flex-col gap-2.5 rounded-xl border border-ask-line bg-ask-soft p-3.5 max-sm:rounded-b-none max-sm:border-x-0 max-sm:border-b-0 max-sm:p-4"
    >
      <div className="flex items-center gap-2">
        <StatusMark shown="asks" size={18} beside />
        <h2 className="min-w-0 flex-1 truncate font-semibold max-sm:whitespace-normal">
          <bdi>{question.agent ?? 'The agent'}</bdi> {questionTexts[tool_kind] ?? 'wants to use a tool'}
        </h2>
        {more > 0 && <span className="text-meta text-ask">{more} more</span>}
        {left !== undefined && (
          <span className="shrink-0 text-meta text-ask" title={`If nobody answers, it will be ${byItself}`}>
            <span className="max-sm:hidden">{byItself} automatically in </span>
            <span className="font-mono">{clockOf(left)}</span>
          </span>
        )}
      </div>
      <section
        ref={box}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is scrolled by keys as well
        tabIndex={0}
        aria-label="Requested action"
        className="max-h-[min(16rem,32dvh)] overflow-y-auto rounded-lg border border-ask-line bg-surface px-3 py-2.5 font-mono text-meta"
      >
        {command !== undefined && (
          <p className="break-words whitespace-pre-wrap">
            <span className="text-ink3 select-none">$ </span>
            <bdi data-command>
              <VisibleText text={command} />
            </bdi>
          </p>
        )}
        {!isInTitle && (
          <p className={`break-words whitespace-pre-wrap ${command === undefined ? '' : 'mt-2 text-ink2'}`}>
            <bdi>
              <VisibleText text={title} />
            </bdi>
          </p>
        )}
        {rest.map(([name, text]) => (
          <p key={name} className="mt-2 break-words whitespace-pre-wrap text-ink2">
            {name !== '' && (
              <span className="text-ink3">
                <bdi>{name}</bdi>:{' '}
              </span>
            )}
            <bdi>
              <VisibleText text={text} />
            </bdi>
          </p>
        ))}
        {unsaid.map((path) => (
          <p key={path} className="mt-2 break-all text-ink2">
            <bdi>
              <VisibleText text={path} />
            </bdi>
          </p>
        ))}
        <span ref={end} className="block h-px" />
      </section>
      {runner !== undefined && (
        <p className="text-meta break-all text-ink2">
          {folder !== undefined && (
            <>
              in{' '}
              {folder.endsWith(`/runs/${run}`) ? (
                <span title={folder}>this run's folder</span>
              ) : (
                <bdi className="font-mono">
                  <VisibleText text={folder} />
                </bdi>
              )}{' '}
            </>
          )}
          on <bdi className="font-mono">{runner}</bdi>
          {!seen && ' · scroll to the end to allow it'}
        </p>
      )}
      <div className="flex flex-row-reverse gap-2 max-sm:*:flex-1 sm:flex-row sm:flex-wrap">
        <button
          type="button"
          className="button button-main"
          aria-disabled={dullAllow}
          onClick={() => answer('allow')}
        >
          {busy === 'allow' ? (
            'Allowing…'
          ) : (
            <>
              Allow once <kbd className="key max-sm:hidden">A</kbd>
            </>
          )}
        </button>
        {repeats && (
          <button
            type="button"
            className="button max-sm:hidden"
            aria-disabled={dullAllow}
            title="In this session, the agent will not ask again about the same command or about changes to the same files"
            onClick={() => answer('allow', { scope: 'session' })}
          >
            Allow for this session
          </button>
        )}
        {edited !== undefined && (
          <button
            type="button"
            className="button max-sm:hidden"
            aria-disabled={dullAllow}
            aria-expanded={edits}
            onClick={() => seen && setEdits(!edits)}
          >
            <Pencil size={13} strokeWidth={1.75} aria-hidden /> Edit
          </button>
        )}
        <span className="flex-1 max-sm:hidden" />
        <CopyAsCli
          actions={[
            ['Allow once', { do: 'answer', run, request: request_id, attempt, answer: 'allow' }],
            ...(repeats
              ? ([
                  [
                    'Allow for this session',
                    { do: 'answer', run, request: request_id, attempt, answer: 'allow', forSession: true },
                  ],
                ] as const)
              : []),
            [
              'Deny',
              { do: 'answer', run, request: request_id, attempt, answer: 'deny', reason: reason?.trim() },
            ],
          ]}
        />
        <button
          type="button"
          className="button button-plain max-sm:hidden"
          aria-disabled={busy !== undefined}
          aria-expanded={reason !== undefined}
          onClick={() => setReason(reason === undefined ? '' : undefined)}
        >
          Deny with a reason…
        </button>
        <button
          type="button"
          className="button"
          aria-disabled={busy !== undefined || !isListening}
          onClick={() => answer('deny')}
        >
          {busy === 'deny' ? (
            'Denying…'
          ) : (
            <>
              Deny <kbd className="key max-sm:hidden">D</kbd>
            </>
          )}
        </button>
      </div>
      <div className="hidden justify-between max-sm:flex">
        <button
          type="button"
          className="min-h-11 text-ink2"
          aria-expanded={reason !== undefined}
          onClick={() => setReason(reason === undefined ? '' : undefined)}
        >
          Deny with a reason…
        </button>
        {edited !== undefined && (
          <button
            type="button"
            className="min-h-11 text-ink2 aria-disabled:text-ink3"
            aria-disabled={dullAllow}
            aria-expanded={edits}
            onClick={() => seen && setEdits(!edits)}
          >
            Edit…
          </button>
        )}
        {repeats && (
          <button
            type="button"
            className="min-h-11 text-ink2 aria-disabled:text-ink3"
            aria-disabled={dullAllow}
            onClick={() => answer('allow', { scope: 'session' })}
          >
            Allow for this session
          </button>
        )}
      </div>
      {edits && edited !== undefined && (
        <EditedInput
          input={edited}
          busy={busy === 'allow'}
          allow={(input) => void answer('allow', { input })}
          close={() => setEdits(false)}
        />
      )}
      {reason !== undefined && (
        <form
          className="flex gap-2"
          onSubmit={(event) => {
            event.preventDefault()
            const why = reason.trim()
            void answer('deny', why === '' ? {} : { reason: why })
          }}
        >
          <input
            ref={field}
            aria-label="Reason for denying, shown to the agent"
            className="field min-w-0 flex-1"
            placeholder="Reason, shown to the agent"
            maxLength={4000}
            value={reason}
            onChange={({ target }) => setReason(target.value)}
            onKeyDown={({ key }) => key === 'Escape' && setReason(undefined)}
          />
          <button type="submit" className="button" aria-disabled={busy !== undefined}>
            Deny
          </button>
        </form>
      )}
      {failure !== undefined && <Failure error={failure} />}
    </section>
  )
}
