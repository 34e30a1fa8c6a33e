import { ArrowUp, Clock, Pencil, X } from 'lucide-react'
import { useRef, useState } from 'react'
import { ApiError, newKey } from '../data/api.ts'
import { timeOf, useNow } from '../data/clock.ts'
import { giveInput } from '../data/sessions.ts'
import { Failure } from '../parts/action-button.tsx'
import { VisibleText } from '../parts/visible-text.tsx'
import type { Queued } from './conversation.ts'

type Change = { change: 'edit'; text: string } | { change: 'withdraw' } | { change: 'up' }

/**
 * Lists the prompts that the agent has not taken yet. Each can be edited, moved up or withdrawn until then. The list
 * changes only when the hub confirms a change.
 */
export function Queue({
  run,
  queue,
  step,
  attempt,
}: {
  run: string
  queue: readonly Queued[]
  step: string | undefined
  attempt: number | undefined
}) {
  const now = useNow()
  const [busy, setBusy] = useState<string>()
  const [failure, setFailure] = useState<ApiError>()
  const [editing, setEditing] = useState<{ inputId: string; text: string }>()
  const keys = useRef<Record<string, string>>({})
  const change = async (inputId: string, edit: Change): Promise<void> => {
    if (busy !== undefined) return
    setBusy(inputId)
    setFailure(undefined)
    const whole = JSON.stringify([inputId, edit])
    keys.current[whole] ??= newKey()
    try {
      await giveInput(run, { queue: { prompt_id: inputId, ...edit }, step, attempt }, keys.current[whole])
      keys.current = {}
      setEditing(undefined)
    } catch (error) {
      const refused =
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } })
      // If the answer got lost, the same key is sent again.
      if (refused.status !== 0) keys.current = {}
      const { at, by } = (refused.details ?? {}) as { at?: string; by?: string }
      const late = refused.status === 409 && at !== undefined
      const message = `Not changed: ${by === undefined ? 'the agent already has it' : `${by} already withdrew it`}, ${timeOf(at ?? '', now)}.`
      setFailure(late ? new ApiError(409, { error: { code: refused.code as 'conflict', message } }) : refused)
    }
    setBusy(undefined)
  }
  const gone = editing !== undefined && !queue.some(({ inputId }) => inputId === editing.inputId)
  if (queue.length === 0 && failure === undefined && editing === undefined) return null
  return (
    <div className="flex flex-col gap-1">
      {queue.length > 0 && (
        <ul aria-label="Queued prompts" className="flex flex-col gap-1">
          {queue.map(({ inputId, text, by, attachments }, index) => {
            const name = text.slice(0, 40)
            const edits = editing?.inputId === inputId
            return (
              <li
                key={inputId}
                aria-busy={busy === inputId}
                className="flex min-h-8 items-center gap-1.5 rounded-md bg-idle px-2 text-meta text-ink2 max-sm:min-h-11"
              >
                <Clock size={12} strokeWidth={1.75} aria-hidden className="shrink-0" />
                <span className="min-w-0 flex-1 truncate" title={text.slice(0, 2000)}>
                  queued by {by ?? 'Errand'}: “
                  <bdi>
                    <VisibleText text={text.slice(0, 200)} />
                  </bdi>
                  ”{attachments > 0 && ` · ${attachments} ${attachments === 1 ? 'file' : 'files'}`}
                </span>
                {index > 0 && (
                  <Tool label={`Move up “${name}”`} press={() => change(inputId, { change: 'up' })}>
                    <ArrowUp size={13} strokeWidth={1.75} aria-hidden />
                  </Tool>
                )}
                <Tool
                  label={`Edit “${name}”`}
                  pressed={edits}
                  press={() => setEditing(edits ? undefined : { inputId, text })}
                >
                  <Pencil size={13} strokeWidth={1.75} aria-hidden />
                </Tool>
                <Tool label={`Withdraw “${name}”`} press={() => change(inputId, { change: 'withdraw' })}>
                  <X size={13} strokeWidth={1.75} aria-hidden />
                </Tool>
              </li>
            )
          })}
        </ul>
      )}
      {editing !== undefined && (
        <form
          className="flex flex-col gap-1.5 rounded-md border border-line2 p-2"
          onSubmit={(event) => {
            event.preventDefault()
            const text = editing.text.trim()
            if (text !== '') void change(editing.inputId, { change: 'edit', text })
          }}
        >
          <textarea
            // biome-ignore lint/a11y/noAutofocus: it was opened to be written in
            autoFocus
            aria-label="Edit queued prompt"
            rows={2}
            value={editing.text}
            className="field-sizing-content max-h-[30dvh] w-full resize-none bg-transparent outline-none max-sm:text-base"
            onChange={({ target }) => setEditing({ ...editing, text: target.value })}
            onKeyDown={(event) => {
              if (event.key === 'Escape') setEditing(undefined)
              if (event.key === 'Enter' && (event.metaKey || event.ctrlKey))
                event.currentTarget.form?.requestSubmit()
            }}
          />
          <span className="flex items-center justify-end gap-2">
            {gone && <span className="mr-auto text-meta text-bad">It is no longer in the queue.</span>}
            <button type="button" className="button button-plain" onClick={() => setEditing(undefined)}>
              Discard changes
            </button>
            <button type="submit" className="button" aria-disabled={busy !== undefined || gone}>
              {busy === editing.inputId ? 'Saving…' : 'Save'}
            </button>
          </span>
        </form>
      )}
      {failure !== undefined && <Failure error={failure} />}
    </div>
  )
}

interface ToolProps {
  label: string
  press: () => void
  pressed?: boolean
  children: React.ReactNode
}

const Tool = ({ label, press, pressed, children }: ToolProps) => (
  <button
    type="button"
    aria-label={label}
    aria-expanded={pressed}
    title={label}
    className="flex size-6 shrink-0 items-center justify-center rounded hover:bg-surface hover:text-ink max-sm:size-11"
    onClick={press}
  >
    {children}
  </button>
)
