import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { JsonLines, readJsonLines } from '../../platform/json-lines.ts'

/** Describes a message of the conversation, in the form of Chat Completions and of the conversation's file. */
export const Message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('user'), content: z.string() }),
  z.object({
    role: z.literal('assistant'),
    content: z.string().nullable(),
    tool_calls: z
      .array(
        z.object({
          id: z.string(),
          type: z.literal('function'),
          /** `arguments` is a JSON object as text. */
          function: z.object({ name: z.string(), arguments: z.string() }),
        }),
      )
      .optional(),
  }),
  z.object({ role: z.literal('tool'), tool_call_id: z.string(), content: z.string() }),
])

const Line = z.discriminatedUnion('type', [
  z.object({ type: z.literal('session'), session_id: z.string() }),
  z.object({ type: z.literal('message'), message: Message }),
])
type Line = z.infer<typeof Line>

const fileOf = (home: string): string => join(home, 'conversation.jsonl')

const parse = (text: string): Line | undefined => Line.safeParse(JSON.parse(text)).data

/** Returns the id of the session that is stored in this folder, if there is one. */
export function sessionIn(home: string): string | undefined {
  const [first] = readJsonLines(fileOf(home), 0, parse).entries
  return first?.type === 'session' ? first.session_id : undefined
}

/** Stores the messages so far in memory, and line by line in a file from which a later process can continue. */
export class Conversation {
  /** Bytes at the end of the file that could not be read and were removed. */
  readonly dropped: number
  readonly #messages: Message[]
  readonly #file: JsonLines<Line>

  private constructor(file: JsonLines<Line>) {
    this.#file = file
    this.#messages = file.entries.flatMap((line) => (line.type === 'message' ? [line.message] : []))
    this.dropped = file.dropped
  }

  static begin(home: string, sessionId: string): Conversation {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const file = new JsonLines<Line>(fileOf(home), { parse, fresh: true })
    file.append({ type: 'session', session_id: sessionId })
    return new Conversation(file)
  }

  /** Loads a conversation that `sessionIn` found. Tool calls without a result get `INTERRUPTED` as their answer. */
  static load(home: string): Conversation {
    const conversation = new Conversation(new JsonLines<Line>(fileOf(home), { parse }))
    conversation.answerOpenCalls()
    return conversation
  }

  get messages(): readonly Message[] {
    return this.#messages
  }

  add(message: Message): void {
    this.#file.append({ type: 'message', message })
    this.#messages.push(message)
  }

  answerOpenCalls(): void {
    for (const id of unansweredCalls(this.#messages))
      this.add({ role: 'tool', tool_call_id: id, content: INTERRUPTED })
  }

  close(): void {
    this.#file.close()
  }
}

/** Number of newest messages that are never shortened, since the model works with them. */
const UNCUT_TURNS = 6
const LONG_CHARS = 400
const SHORT_CHARS = 200

/** Decides how much of a long conversation is sent to the model. The conversation itself stays complete. */
export class Context {
  #maxChars: number
  /** Index of the first message that is not shortened. */
  #shortened = 0

  constructor(maxChars: number) {
    this.#maxChars = maxChars
  }

  view(messages: readonly Message[]): Message[] {
    const sizes = messages.map((each, index) => sizeOf(index < this.#shortened ? shortened(each) : each))
    let total = sizes.reduce((sum, size) => sum + size, 0)
    // Shorten to half at once, because a service's cache works only while the beginning stays the same.
    if (total > this.#maxChars) {
      while (total > this.#maxChars / 2 && this.#shortened < messages.length - UNCUT_TURNS) {
        const index = this.#shortened++
        total += sizeOf(shortened(messages[index]!)) - sizes[index]!
      }
    }
    return messages.map((each, index) => (index < this.#shortened ? shortened(each) : each))
  }

  /**
   * Halves the limit because the model accepts less than assumed. Returns false if nothing can be shortened further.
   */
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

/** Cuts outputs and long arguments of tools to their beginning. Texts of people and the model stay. */
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

export type Message = z.infer<typeof Message>

/** Answer to a tool call that has no result. */
export const INTERRUPTED = 'interrupted: whether it had an effect is not known'

/** Returns the ids of the last calls without a result; services refuse a conversation with such calls. */
function unansweredCalls(messages: readonly Message[]): string[] {
  const last = messages.findLastIndex((each) => each.role === 'assistant')
  const message = messages[last]
  if (message?.role !== 'assistant') return []
  const answered = new Set(
    messages.slice(last + 1).flatMap((each) => (each.role === 'tool' ? [each.tool_call_id] : [])),
  )
  return (message.tool_calls ?? []).map(({ id }) => id).filter((id) => !answered.has(id))
}
