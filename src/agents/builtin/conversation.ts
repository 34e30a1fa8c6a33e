import { appendFileSync, closeSync, ftruncateSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { INTERRUPTED, Message, unansweredCalls } from './message.ts'

const Line = z.discriminatedUnion('type', [
  z.object({ type: z.literal('session'), session_id: z.string() }),
  z.object({ type: z.literal('message'), message: Message }),
])
type Line = z.infer<typeof Line>

const fileOf = (home: string): string => join(home, 'conversation.jsonl')

/** The id of the session that is kept in this folder. */
export function sessionIn(home: string): string | undefined {
  const first = readLines(home).lines[0]
  return first?.type === 'session' ? first.session_id : undefined
}

/** What was said so far: in memory, and line by line in a file that a later process goes on with. */
export class Conversation {
  /** Bytes at the end of the file that could not be read, and are gone. */
  readonly dropped: number
  readonly #messages: Message[]
  readonly #file: number
  #bytes: number
  #closed = false

  private constructor(file: number, bytes: number, messages: Message[], dropped: number) {
    this.#file = file
    this.#bytes = bytes
    this.#messages = messages
    this.dropped = dropped
  }

  static begin(home: string, sessionId: string): Conversation {
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const conversation = new Conversation(openSync(fileOf(home), 'w', 0o600), 0, [], 0)
    conversation.#write({ type: 'session', session_id: sessionId })
    return conversation
  }

  /** One that `sessionIn` has found. Calls of tools that were under way are answered that they were interrupted. */
  static load(home: string): Conversation {
    const { lines, bytes, dropped } = readLines(home)
    const messages = lines.flatMap((line) => (line.type === 'message' ? [line.message] : []))
    const file = openSync(fileOf(home), 'a')
    ftruncateSync(file, bytes)
    const conversation = new Conversation(file, bytes, messages, dropped)
    conversation.answerOpenCalls()
    return conversation
  }

  get messages(): readonly Message[] {
    return this.#messages
  }

  add(message: Message): void {
    this.#write({ type: 'message', message })
    this.#messages.push(message)
  }

  answerOpenCalls(): void {
    for (const id of unansweredCalls(this.#messages))
      this.add({ role: 'tool', tool_call_id: id, content: INTERRUPTED })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#file)
  }

  #write(line: Line): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
    try {
      appendFileSync(this.#file, bytes)
    } catch (error) {
      // Half a line on a full disk would spoil the next one.
      ftruncateSync(this.#file, this.#bytes)
      throw error
    }
    this.#bytes += bytes.length
  }
}

/** The whole lines from the start on: a process that was killed while it wrote leaves half of one. */
function readLines(home: string): { lines: Line[]; bytes: number; dropped: number } {
  const lines: Line[] = []
  let content: Buffer
  try {
    content = readFileSync(fileOf(home))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { lines, bytes: 0, dropped: 0 }
    throw error
  }
  let bytes = 0
  for (let end = content.indexOf(10); end >= 0; end = content.indexOf(10, bytes)) {
    const line = parsed(content.toString('utf8', bytes, end))
    if (line === undefined) break
    lines.push(line)
    bytes = end + 1
  }
  return { lines, bytes, dropped: content.length - bytes }
}

function parsed(text: string): Line | undefined {
  try {
    return Line.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
