import { type ReactNode, useEffect, useRef } from 'react'
import { ActionButton } from './action-button.tsx'

interface Props {
  title: string
  children: ReactNode
  /** The button that leaves all as it is. */
  keep: string
  verb: string
  doing: string
  act: (key: string) => Promise<unknown>
  close: () => void
  destructive?: boolean
}

/** Asks once more, in a dialog of the browser: focus stays in it, Escape leaves it. */
export function Confirm({ title, children, keep, verb, doing, act, close, destructive = true }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="confirm-title" onClose={close}>
      <h2 id="confirm-title" className="text-page font-semibold">
        {title}
      </h2>
      <div className="mt-1 mb-4 text-ink2">{children}</div>
      <div className="flex justify-end gap-2">
        <button type="button" className="button" onClick={() => dialog.current?.close()}>
          {keep} <kbd className="key max-sm:hidden">Esc</kbd>
        </button>
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
      </div>
    </dialog>
  )
}
