import { type ReactNode, useEffect, useRef, useState } from 'react'
import { ApiError, newKey } from '../data/api.ts'
import { StatusMark } from './status-mark.tsx'
import { showToast } from './toast.ts'

export interface ActionButtonProps {
  children: ReactNode
  /** Shown during the action, such as `Approving…`. */
  doing: string
  /** Runs once at a time; the key stays the same until the hub has answered. */
  act: (key: string) => Promise<unknown>
  kind?: 'main' | 'bad' | 'plain' | 'quiet-bad' | undefined
  className?: string
  title?: string
  /** The button has just appeared under the pointer and ignores clicks for now. */
  deaf?: boolean
  /** Called with a failure, for callers that show it themselves; the button then shows none. */
  onFailure?: (error: ApiError) => void
  /** The failure appears above the button, for example at the lower edge of a page. */
  above?: boolean
  /** Returns the text of a toast if the button has left the screen meanwhile. Without it, a success is not reported. */
  afterwards?: ((error?: ApiError) => string) | undefined
}

/** Milliseconds after which a refusal counts as read; one that leaves the screen sooner is reported again. */
const READ_MS = 6000

/** A button whose action the hub decides: it never runs twice, and a refusal appears beside it with its hint. */
export function ActionButton({
  children,
  doing,
  act,
  kind,
  className = '',
  title,
  deaf = false,
  onFailure,
  above = false,
  afterwards,
}: ActionButtonProps) {
  const [state, setState] = useState<{ busy: boolean; failure?: ApiError }>({ busy: false })
  const key = useRef<string>(undefined)
  const here = useRef<{
    words: ActionButtonProps['afterwards']
    gone: boolean
    refused?: { error: ApiError; atMs: number } | undefined
  }>({
    words: afterwards,
    gone: false,
  })
  here.current.words = afterwards
  useEffect(() => {
    const { current } = here
    current.gone = false
    return () => {
      current.gone = true
      const { refused } = current
      if (refused !== undefined && performance.now() - refused.atMs < READ_MS)
        reportFailure(refused.error, current.words)
    }
  }, [])
  const press = async () => {
    if (state.busy || deaf) return
    setState({ busy: true })
    here.current.refused = undefined
    key.current ??= newKey()
    try {
      await act(key.current)
      key.current = undefined
      setState({ busy: false })
      const { gone, words } = here.current
      if (gone && words !== undefined) showToast({ kind: 'done', text: words() })
    } catch (error) {
      const failure =
        error instanceof ApiError
          ? error
          : new ApiError(0, { error: { code: 'internal', message: String(error) } })
      // If the answer got lost, the same key is sent again.
      if (failure.status !== 0) key.current = undefined
      if (here.current.gone) reportFailure(failure, here.current.words)
      else here.current.refused = { error: failure, atMs: performance.now() }
      onFailure?.(failure)
      setState(onFailure === undefined ? { busy: false, failure } : { busy: false })
    }
  }
  return (
    <span className="relative inline-flex flex-col">
      <button
        type="button"
        className={`button ${kind === undefined ? '' : `button-${kind}`} ${className}`}
        aria-disabled={state.busy || deaf}
        title={title}
        onClick={press}
      >
        {state.busy ? (
          <>
            <StatusMark shown="running" size={14} beside />
            {doing}
          </>
        ) : (
          children
        )}
      </button>
      {state.failure !== undefined && <Failure error={state.failure} floating={above ? 'above' : 'below'} />}
    </span>
  )
}

function reportFailure(error: ApiError, words: ActionButtonProps['afterwards']): void {
  showToast({
    kind: 'failed',
    text: words?.(error) ?? error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  })
}

/** Shows a refusal: its message and hint, as the API gave them. */
export function Failure({ error, floating }: { error: ApiError; floating?: 'above' | 'below' }) {
  const place =
    floating === undefined
      ? ''
      : `absolute right-0 z-20 w-72 border border-line whitespace-normal ${floating === 'above' ? 'bottom-full mb-1' : 'top-full mt-1'}`
  return (
    <div role="alert" className={`flex gap-2 rounded-lg bg-bad-soft px-3 py-2 text-meta text-ink ${place}`}>
      <StatusMark shown="failed" size={14} beside />
      <span>
        {error.message}
        {error.hint !== undefined && <span className="block text-ink2">{error.hint}</span>}
      </span>
    </div>
  )
}
