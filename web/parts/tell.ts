/** `asks`: a question; `done`, `failed`: the result of an action of one's own; `ended`: that of a run. */
export type NoticeKind = 'done' | 'failed' | 'asks' | 'ended'

/** What a person is to be told of; `id` where it may be told twice. */
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

/** Tells a person of what has left the screen: in a toast, and in the list of notices. */
export function tell(told: Told): void {
  if (taker === undefined) waiting.push(told)
  else taker(told)
}

/** Gives all that is told to the list of notices, once that is loaded; answers how to stop. */
export function takeTold(take: (told: Told) => void): () => void {
  taker = take
  for (const told of waiting.splice(0)) take(told)
  return () => {
    if (taker === take) taker = undefined
  }
}
