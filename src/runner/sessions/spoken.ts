import type { AgentUpdate } from '../../contract/agent.ts'

/** What is kept of one message. */
const MAX_ANSWER_CHARACTERS = 8 * 1024 * 1024
/** Longer texts come as several updates; a character is at most three bytes of UTF-8. */
const MAX_PIECE_CHARACTERS = 20_000

const ends: ReadonlySet<AgentUpdate['kind']> = new Set([
  'thought',
  'tool',
  'prompt',
  'turn_ended',
  'permission',
])

/** Whether a message is over with it. */
export const endsMessage = ({ kind }: AgentUpdate): boolean => ends.has(kind)

/** Follows the messages of an agent: the last one whole, and all of them as the text that a person reads. */
export class Spoken {
  readonly #say: (text: string) => void
  #open = false
  #lastCharacter = ''
  /** The last message of the turn; empty where it has none. */
  answer = ''

  constructor(say: (text: string) => void) {
    this.#say = say
  }

  turnBegins(): void {
    this.answer = ''
  }

  follow(update: AgentUpdate): void {
    if (update.kind === 'message') this.#message(update.text)
    else if (endsMessage(update) && this.#open) {
      this.#open = false
      if (this.#lastCharacter !== '\n') this.#say('\n')
    }
  }

  #message(text: string): void {
    if (text === '') return
    if (!this.#open) this.answer = ''
    this.#open = true
    this.#lastCharacter = text.at(-1)!
    if (this.answer.length < MAX_ANSWER_CHARACTERS) this.answer += text
    this.#say(text)
  }
}

/** A long text in pieces that cut no character in two. */
export function pieces(text: string): string[] {
  if (text.length <= MAX_PIECE_CHARACTERS) return [text]
  const found: string[] = []
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + MAX_PIECE_CHARACTERS)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end--
    found.push(text.slice(at, end))
    at = end
  }
  return found
}
