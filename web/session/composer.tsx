import { Clock, Square } from 'lucide-react'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { ApiError, newKey } from '../data/api.ts'
import { giveInput, keepPrompt, keptPrompt } from '../data/sessions.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import type { Queued } from './conversation.ts'
import { VisibleText } from './visible-text.tsx'

interface Props {
  run: string
  busy: boolean
  /** The run has ended: a prompt begins one that goes on with the session. */
  over: boolean
  queue: readonly Queued[]
  step: string | undefined
  /** Told of the run that has the prompt, where it is another. */
  goesOn: (run: string) => void
}

/** The next prompt: sent when the agent has nothing to do, queued while it works. */
export function Composer({ run, busy, over, queue, step, goesOn }: Props) {
  const [text, setText] = useState(() => keptPrompt(run))
  const [sending, setSending] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const key = useRef<{ text: string; key: string }>(undefined)
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => keepPrompt(run, text), [run, text])

  const stop = (idempotencyKey: string) => giveInput(run, { cancel_turn: true, step }, idempotencyKey)
  const send = async (now: boolean) => {
    const prompt = text.trim()
    if (sending || prompt === '') return
    setSending(true)
    setFailure(undefined)
    if (key.current?.text !== prompt) key.current = { text: prompt, key: newKey() }
    try {
      const taken = await giveInput(run, { prompt, step }, key.current.key)
      // Behind the prompt: it is the next when the turn is over.
      if (now && busy) await stop(newKey())
      key.current = undefined
      setText('')
      if (taken.run_id !== run) {
        keepPrompt(run, '')
        goesOn(taken.run_id)
      }
    } catch (error) {
      const refused =
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } })
      // A lost answer is asked for again with the same key.
      if (refused.status !== 0) key.current = undefined
      setFailure(refused)
    }
    setSending(false)
    area.current?.focus()
  }
  const press = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return
    const mod = event.metaKey || event.ctrlKey
    // A phone's Enter is a new line.
    const plain = !event.shiftKey && !event.altKey && !matchMedia('(pointer: coarse)').matches
    if (event.key !== 'Enter' || !(mod || plain)) return
    event.preventDefault()
    void send(mod)
  }
  const word = over ? 'Continue' : busy ? 'Queue' : 'Send'
  return (
    <div className="flex flex-col gap-2 rounded-xl border border-line2 bg-surface p-2.5 focus-within:border-ink3">
      {queue.length > 0 && (
        <ul aria-label="Queued prompts" className="flex flex-wrap gap-1.5">
          {queue.map(({ inputId, text: queued, by }) => (
            <li key={inputId} className="chip max-w-full gap-1.5" title={queued.slice(0, 2000)}>
              <Clock size={12} strokeWidth={1.75} aria-hidden className="shrink-0" />
              <span className="truncate">
                queued by {by ?? 'Errand'}: “
                <bdi>
                  <VisibleText text={queued.slice(0, 120)} />
                </bdi>
                ”
              </span>
            </li>
          ))}
        </ul>
      )}
      <textarea
        ref={area}
        aria-label="Next prompt"
        rows={2}
        value={text}
        placeholder={
          over ? 'Go on with this session…' : busy ? 'Next prompt, sent when this turn ends…' : 'Next prompt…'
        }
        className="field-sizing-content max-h-[30dvh] min-h-11 w-full resize-none bg-transparent px-1 outline-none placeholder:text-ink3 max-sm:text-base"
        onChange={({ target }) => setText(target.value)}
        onKeyDown={press}
      />
      <div className="flex items-center justify-end gap-2">
        {busy && !over && (
          <ActionButton
            doing="Stopping…"
            kind="plain"
            act={stop}
            title="Ends what the agent is at, not the session"
          >
            <Square size={12} strokeWidth={1.75} aria-hidden /> Stop turn
          </ActionButton>
        )}
        <button
          type="button"
          className="button"
          aria-disabled={sending || text.trim() === ''}
          title={busy && !over ? 'Ctrl Enter stops the turn and sends it now' : undefined}
          onClick={() => send(false)}
        >
          {sending ? (
            'Sending…'
          ) : (
            <>
              {word} <kbd className="key max-sm:hidden">↵</kbd>
            </>
          )}
        </button>
      </div>
      {failure !== undefined && <Failure error={failure} />}
    </div>
  )
}
