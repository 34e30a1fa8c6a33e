import { GitFork, MessageSquare, Square } from 'lucide-react'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import type { RunInput } from '../../src/contract/agent-api.ts'
import { ApiError, newKey } from '../data/api.ts'
import { giveInput, keepAttached, keepPrompt, storedPrompt } from '../data/sessions.ts'
import { ActionButton, Failure } from '../parts/action-button.tsx'
import CopyAsCli from '../parts/copy-as-cli.tsx'
import { promptOf, useDrafts } from '../parts/diff/drafts.ts'
import { unsentOf } from '../parts/unsent.ts'
import { AttachButton, AttachedChips, filesOf, useAttachments } from './attachments.tsx'
import type { Queued } from './conversation.ts'
import { Queue } from './queue.tsx'

interface Props {
  run: string
  busy: boolean
  /** The run has ended: a prompt starts a new run that continues the session. */
  over: boolean
  queue: readonly Queued[]
  /** The agent can start a branch of the session. */
  forks: boolean
  step: string | undefined
  /** Set if several attempts of the step take prompts. */
  attempt: number | undefined
  /** Called with the id of the run that has taken the prompt, if it is another one. */
  goesOn: (run: string) => void
}

/** The field for the next prompt, which is sent when the agent is idle and queued while it works. */
export function Composer({ run, busy, over, queue, step, attempt, forks, goesOn }: Props) {
  const [text, setText] = useState(() => storedPrompt(run))
  const { drafts, drop: dropDrafts } = useDrafts(run)
  const [sending, setSending] = useState(false)
  const [failure, setFailure] = useState<ApiError>()
  const [drops, setDrops] = useState(false)
  const { files, add, remove, drop, ids } = useAttachments(run)
  const key = useRef<{ text: string; key: string }>(undefined)
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => keepPrompt(run, text), [run, text])
  // The current values when a prompt is taken: more may have been typed and attached since it was sent.
  const latest = useRef({ text, files })
  latest.current = { text, files }

  const stop = (idempotencyKey: string) =>
    giveInput(run, { cancel_turn: true, step, attempt }, idempotencyKey)
  const prompt = [drafts.length > 0 ? promptOf(drafts) : '', text.trim()].filter(Boolean).join('\n')
  const ready = !sending && prompt !== '' && ids !== undefined
  /** Sends the prompt. With `now` it goes ahead of the queue, and the agent's current turn is ended. */
  const send = async ({ now, fork }: { now?: true; fork?: true } = {}) => {
    if (!ready) return
    const input: RunInput = {
      prompt,
      step,
      attempt,
      ...(ids.length > 0 && { attachments: ids }),
      ...(now && busy && !over && { now }),
      ...(fork && { fork }),
    }
    const whole = JSON.stringify(input)
    setSending(true)
    setFailure(undefined)
    if (key.current?.text !== whole) key.current = { text: whole, key: newKey() }
    try {
      const taken = await giveInput(run, input, key.current.key)
      key.current = undefined
      const rest = unsentOf(latest.current.text, text)
      dropDrafts(drafts)
      if (taken.run_id === run) {
        setText(rest)
        keepPrompt(run, rest)
        drop(files)
      } else {
        keepPrompt(taken.run_id, rest)
        keepAttached(
          taken.run_id,
          latest.current.files.filter((one) => !files.some(({ key }) => key === one.key)),
        )
        setText('')
        keepPrompt(run, '')
        drop(latest.current.files)
        keepAttached(run, [])
        goesOn(taken.run_id)
      }
    } catch (error) {
      const refused =
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } })
      // If the answer got lost, the same key is sent again.
      if (refused.status !== 0) key.current = undefined
      setFailure(refused)
    }
    setSending(false)
    // Do not take the focus away from a place where somebody types by now.
    const { activeElement } = document
    if (activeElement === document.body || area.current?.parentElement?.contains(activeElement))
      area.current?.focus()
  }
  const press = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return
    const mod = event.metaKey || event.ctrlKey
    // On a phone, Enter starts a new line.
    const plain = !event.shiftKey && !event.altKey && !matchMedia('(pointer: coarse)').matches
    if (event.key !== 'Enter' || !(mod || plain)) return
    event.preventDefault()
    void send(mod ? { now: true } : {})
  }
  const word = over ? 'Continue' : busy ? 'Queue' : 'Send'
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the button beside the field does the same
    <div
      className={`flex flex-col gap-2 rounded-xl border bg-surface p-2.5 focus-within:border-ink3 ${drops ? 'border-accent' : 'border-line2'}`}
      onDragOver={(event) => {
        if (!event.dataTransfer.types.includes('Files')) return
        event.preventDefault()
        setDrops(true)
      }}
      onDragLeave={() => setDrops(false)}
      onDrop={(event) => {
        setDrops(false)
        const files = filesOf(event.dataTransfer)
        if (files.length === 0) return
        event.preventDefault()
        add(files)
      }}
    >
      <Queue run={run} {...{ queue, step, attempt }} />
      <AttachedChips files={files} remove={remove} />
      {drafts.length > 0 && (
        <p className="flex items-center gap-2 text-meta">
          <span className="chip gap-1.5 bg-accent-soft text-accent">
            <MessageSquare size={12} strokeWidth={1.75} aria-hidden />
            {drafts.length === 1 ? '1 comment' : `${drafts.length} comments`} on lines
          </span>
          <span className="min-w-0 truncate text-ink2" title={promptOf(drafts)}>
            {[...new Set(drafts.map(({ path, line }) => `${path}:${line}`))].join(', ')}
          </span>
          <button type="button" className="button button-plain ml-auto" onClick={() => dropDrafts(drafts)}>
            Discard {drafts.length === 1 ? 'it' : 'them'}
          </button>
        </p>
      )}
      <textarea
        ref={area}
        aria-label="Next prompt"
        rows={2}
        value={text}
        placeholder={
          over ? 'Continue this session…' : busy ? 'Next prompt, sent when this turn ends…' : 'Next prompt…'
        }
        className="field-sizing-content max-h-[30dvh] min-h-11 w-full resize-none bg-transparent px-1 outline-none placeholder:text-ink3 max-sm:text-base"
        onChange={({ target }) => setText(target.value)}
        onKeyDown={press}
        onPaste={(event) => {
          const files = filesOf(event.clipboardData)
          if (files.length === 0) return
          event.preventDefault()
          add(files)
        }}
      />
      <div className="flex items-center justify-end gap-2">
        <AttachButton add={add} />
        <span className="flex-1" />
        {prompt !== '' && (
          <CopyAsCli
            of="the prompt"
            actions={[[word, { do: 'ask', run, prompt, attach: files.map(({ name }) => name) }]]}
          />
        )}
        {over && forks && (
          <button
            type="button"
            className="button button-plain"
            aria-disabled={!ready}
            title="Starts a branch with this prompt. The session itself does not change."
            onClick={() => send({ fork: true })}
          >
            <GitFork size={13} strokeWidth={1.75} aria-hidden /> Fork
          </button>
        )}
        {busy && !over && (
          <ActionButton
            doing="Stopping…"
            kind="plain"
            act={stop}
            title="Ends the current turn, not the session"
          >
            <Square size={12} strokeWidth={1.75} aria-hidden /> Stop turn
          </ActionButton>
        )}
        <button
          type="button"
          className="button"
          aria-disabled={!ready}
          title={busy && !over ? 'Ctrl+Enter stops the turn and sends the prompt now' : undefined}
          onClick={() => send()}
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
