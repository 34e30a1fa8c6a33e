import { lazy, type ReactNode, Suspense, useEffect, useRef, useState } from 'react'
import type { Action } from '../data/as-command.ts'
import { ActionButton } from './action-button.tsx'

const CliLine = lazy(() => import('./cli-line.tsx'))

interface Props {
  title: string
  children: ReactNode
  /** The label of the button that changes nothing. */
  keep: string
  verb: string
  doing: string
  act: (key: string) => Promise<unknown>
  close: () => void
  destructive?: boolean
  /** The text that a person must type first, since the action cannot be undone. */
  typed?: string
  /** Offers the same action as a command. */
  as?: Action | undefined
}

/** Asks for confirmation in a dialog of the browser: the focus stays in it, and Escape closes it. */
export function Confirm({
  title,
  children,
  keep,
  verb,
  doing,
  act,
  close,
  destructive = true,
  typed,
  as,
}: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [entered, setEntered] = useState('')
  const isConfirmed = typed === undefined || entered === typed
  useEffect(() => {
    dialog.current?.showModal()
    // Do not focus the button before it, which merely copies the command.
    dialog.current?.querySelector<HTMLElement>('input, [data-keep]')?.focus()
  }, [])
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="confirm-title" onClose={close}>
      <h2 id="confirm-title" className="text-page font-semibold">
        {title}
      </h2>
      <div className="mt-1 mb-4 text-ink2">
        {children}
        {as !== undefined && (
          <Suspense>
            <CliLine action={as} />
          </Suspense>
        )}
      </div>
      {typed !== undefined && (
        <label className="mb-4 flex flex-col gap-1 text-meta text-ink2">
          <span>
            Type <bdi className="font-mono text-ink">{typed}</bdi> to continue
          </span>
          <input
            className="field"
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            value={entered}
            onChange={({ target }) => setEntered(target.value)}
          />
        </label>
      )}
      <div className="flex justify-end gap-2">
        <button type="button" data-keep className="button" onClick={() => dialog.current?.close()}>
          {keep} <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
        {isConfirmed ? (
          <ActionButton
            kind={destructive ? 'bad' : 'main'}
            doing={doing}
            act={async (key) => {
              await act(key)
              dialog.current?.close()
            }}
          >
            {verb}
          </ActionButton>
        ) : (
          <button type="button" className="button" aria-disabled="true" title={`Type ${typed} first`}>
            {verb}
          </button>
        )}
      </div>
    </dialog>
  )
}
