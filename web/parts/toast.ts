/**
 * `asks` is a question, `done` and `failed` are results of the person's own action, and `ended` is the end of a run.
 */
export type NoticeKind = 'done' | 'failed' | 'asks' | 'ended'

/** A notice for a person; it has an `id` if it may be sent twice. */
export interface ToastMessage {
  id?: string
  kind: NoticeKind
  text: string
  hint?: string
  /** A path of the page below its base. */
  to?: string
}

const waiting: ToastMessage[] = []
let taker: ((message: ToastMessage) => void) | undefined

/** Tells a person about something that has left the screen: in a toast and in the list of notices. */
export function showToast(message: ToastMessage): void {
  if (taker === undefined) waiting.push(message)
  else taker(message)
}

/** Passes all notices to the list of notices, once that is loaded. Returns how to stop. */
export function takeToasts(take: (message: ToastMessage) => void): () => void {
  taker = take
  for (const message of waiting.splice(0)) take(message)
  return () => {
    if (taker === take) taker = undefined
  }
}
