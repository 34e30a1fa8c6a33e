/**
 * `asks` is a question, `done` and `failed` are results of the person's own action, and `ended` is the end of a run.
 */
export type NoticeKind = 'done' | 'failed' | 'asks' | 'ended'

/** A notice for a person; it has an `id` if it may be sent twice. */
export interface Told {
  id?: string
  kind: NoticeKind
  text: string
  hint?: string
  /** A path of the page below its base. */
  to?: string
}

const waiting: Told[] = []
let taker: ((told: Told) => void) | undefined

/** Tells a person about something that has left the screen: in a toast and in the list of notices. */
export function tell(told: Told): void {
  if (taker === undefined) waiting.push(told)
  else taker(told)
}

/** Passes all notices to the list of notices, once that is loaded. Returns how to stop. */
export function takeTold(take: (told: Told) => void): () => void {
  taker = take
  for (const told of waiting.splice(0)) take(told)
  return () => {
    if (taker === take) taker = undefined
  }
}
