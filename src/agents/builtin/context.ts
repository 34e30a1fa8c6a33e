import type { Message } from './message.ts'

/** The newest messages are never shortened: the model is at work with them. */
const KEPT_WHOLE = 6
const LONG_CHARS = 400
const SHORT_CHARS = 200

/** What of a long conversation is sent to the model. The conversation itself stays whole. */
export class Context {
  #maxChars: number
  /** All before this are shortened. */
  #shortened = 0

  constructor(maxChars: number) {
    this.#maxChars = maxChars
  }

  view(messages: readonly Message[]): Message[] {
    const sizes = messages.map((each, index) => sizeOf(index < this.#shortened ? shortened(each) : each))
    let total = sizes.reduce((sum, size) => sum + size, 0)
    // Down to half at once: a service's cache holds as long as the beginning stays the same.
    if (total > this.#maxChars) {
      while (total > this.#maxChars / 2 && this.#shortened < messages.length - KEPT_WHOLE) {
        const index = this.#shortened++
        total += sizeOf(shortened(messages[index]!)) - sizes[index]!
      }
    }
    return messages.map((each, index) => (index < this.#shortened ? shortened(each) : each))
  }

  /** The model takes less than was thought. False: nothing is left that could be shortened. */
  tighten(messages: readonly Message[]): boolean {
    const before = this.view(messages).reduce((sum, each) => sum + sizeOf(each), 0)
    this.#maxChars = before / 2
    return this.view(messages).reduce((sum, each) => sum + sizeOf(each), 0) < before
  }
}

function sizeOf(message: Message): number {
  const calls = message.role === 'assistant' ? (message.tool_calls ?? []) : []
  return calls.reduce((sum, call) => sum + call.function.arguments.length, message.content?.length ?? 0)
}

/** Outputs of tools, and what files were written with, cut to their beginning. What people and the model said stays. */
function shortened(message: Message): Message {
  if (message.role === 'tool') return { ...message, content: short(message.content) }
  if (message.role !== 'assistant' || message.tool_calls === undefined) return message
  return {
    ...message,
    tool_calls: message.tool_calls.map((call) => {
      if (call.function.arguments.length <= LONG_CHARS) return call
      const values = JSON.parse(call.function.arguments, (_, value) =>
        typeof value === 'string' ? short(value) : value,
      )
      return { ...call, function: { ...call.function, arguments: JSON.stringify(values) } }
    }),
  }
}

function short(text: string): string {
  if (text.length <= LONG_CHARS) return text
  return `${text.slice(0, SHORT_CHARS)}\n… (left out: ${text.length - SHORT_CHARS} more characters)`
}
