import { writeSync } from 'node:fs'
import { clipped } from '../../agents/clipped.ts'
import { type AgentUpdate, type Attachment, MAX_UPDATE_BYTES } from '../../contract/agent.ts'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { TailFile } from '../../platform/tail-file.ts'
import type { AttemptJournal } from '../attempts/journal.ts'
import type { Masker } from '../masking/masker.ts'
import { endsMessage, UpdateMasker } from './update-masker.ts'

export interface UpdatePipelineOptions {
  journal: Pick<AttemptJournal, 'add' | 'covered'>
  /** Standard output of the step: what the agent says, as text. */
  stdout: Pick<TailFile, 'fd' | 'size'>
  /** Hides the secrets in reports; absent if there are none. */
  masker?: Masker
  /** Called if something essential could not be stored; without a message, that is the journal. */
  onUnwritten(message?: string): void
}

type ReportedItem = Extract<AttemptReport, { type: 'update' | 'input_taken' }>

const MOST_SHOWN_PROMPT_BYTES = MAX_UPDATE_BYTES / 4

/**
 * Leads all updates of a session to its reports. The stages, in order: split long messages, write them to standard
 * output for people, mask them, limit their size, skip what an earlier process of this runner has reported, and join
 * small pieces. Before the joining, a replayed session passes the same items in the same order, so their numbers
 * identify them.
 */
export class UpdatePipeline {
  readonly #options: UpdatePipelineOptions
  readonly #text = new MessageText()
  readonly #masked: UpdateMasker | undefined
  readonly #joined: Joiner
  /** Bytes of standard output that an earlier process of this runner has written. */
  readonly #charsBefore: number
  #chars = 0
  #items = 0

  /** Must be created before anything is written to standard output. */
  constructor(options: UpdatePipelineOptions) {
    const { masker, stdout, journal, onUnwritten } = options
    this.#options = options
    this.#charsBefore = stdout.size
    this.#masked = masker && new UpdateMasker(masker, (update) => this.#report(update))
    this.#joined = new Joiner((item, last) => {
      if (!journal.add(item, item, last)) onUnwritten()
    })
  }

  /** Last message of the turn, complete; empty if there is none. */
  get answer(): string {
    return this.#text.answer
  }

  turnBegins(): void {
    this.#text.answer = ''
  }

  report(update: AgentUpdate): void {
    if (update.kind === 'message' || update.kind === 'thought')
      for (const text of pieces(update.text)) this.#pass({ kind: update.kind, text })
    else this.#pass(update)
  }

  prompt(inputId: string, text: string, attachments?: readonly Attachment[]): void {
    const shown = this.#options.masker?.maskText(text) ?? text
    this.#pass({
      kind: 'prompt',
      input_id: inputId,
      text: clipped(shown, MOST_SHOWN_PROMPT_BYTES),
      ...(attachments === undefined || attachments.length === 0 ? {} : { attachments: [...attachments] }),
    })
  }

  inputTaken(inputId: string): void {
    this.#reportOnce({ type: 'input_taken', input_id: inputId })
  }

  /** Reports everything that waits to be joined; a message may continue. */
  flush(): void {
    this.#joined.flush()
  }

  /** Ends the stream, and releases held-back text of a message. Idempotent. */
  end(): void {
    this.#masked?.flush()
    this.flush()
  }

  #pass(update: AgentUpdate): void {
    this.#say(this.#text.follow(update))
    if (this.#masked) this.#masked.report(update)
    else this.#report(update)
  }

  #say(text: string): void {
    const bytes = Buffer.from(text)
    const known = Math.max(0, Math.min(bytes.length, this.#charsBefore - this.#chars))
    this.#chars += bytes.length
    const { stdout, onUnwritten } = this.#options
    try {
      for (let at = known; at < bytes.length; ) at += writeSync(stdout.fd, bytes, at)
    } catch (error) {
      onUnwritten(`Its output could not be stored: ${(error as Error).message}.`)
    }
  }

  #report(update: AgentUpdate): void {
    this.#reportOnce({ type: 'update', update: boundedUpdate(update) })
  }

  #reportOnce(item: ReportedItem): void {
    const number = ++this.#items
    if (number > this.#options.journal.covered) this.#joined.add(item, number)
  }
}

/** Limit in characters; longer texts come as several updates. A character is at most three bytes of UTF-8. */
const MAX_PIECE_CHARACTERS = 20_000

/** Splits a long text into pieces without cutting a character in two. */
function pieces(text: string): string[] {
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

/** Limit in characters for the stored part of one message. */
const MAX_ANSWER_CHARACTERS = 8 * 1024 * 1024

/** Collects the messages of an agent: the last one completely, and all of them as text for people. */
class MessageText {
  answer = ''
  #open = false
  #lastCharacter = ''

  /** Returns the text of an update: a message begins on its own line. */
  follow(update: AgentUpdate): string {
    if (update.kind === 'message') return this.#message(update.text)
    if (!endsMessage(update) || !this.#open) return ''
    this.#open = false
    return this.#lastCharacter === '\n' ? '' : '\n'
  }

  #message(text: string): string {
    if (text === '') return ''
    if (!this.#open) this.answer = ''
    this.#open = true
    this.#lastCharacter = text.at(-1)!
    if (this.answer.length < MAX_ANSWER_CHARACTERS) this.answer += text
    return text
  }
}

/** Returns the update, with its longest texts cut if it is above the size limit. */
export function boundedUpdate(update: AgentUpdate): AgentUpdate {
  let found = update
  for (let mostBytes = 64 * 1024; size(found) > MAX_UPDATE_BYTES && mostBytes >= 64; mostBytes /= 2)
    found = cut(update, mostBytes, Math.max(4, mostBytes / 64)) as AgentUpdate
  return found
}

function size(update: AgentUpdate): number {
  const text = JSON.stringify(update)
  return text.length * 3 <= MAX_UPDATE_BYTES ? text.length : Buffer.byteLength(text)
}

function cut(value: unknown, mostBytes: number, mostItems: number): unknown {
  if (typeof value === 'string') return clipped(value, mostBytes)
  if (Array.isArray(value)) return value.slice(0, mostItems).map((each) => cut(each, mostBytes, mostItems))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, cut(each, mostBytes, mostItems)]),
  )
}

/** Joins small pieces to about ten updates per second. */
const JOIN_MS = 100
const MAX_JOINED_CHARACTERS = 20_000

/** Joins the pieces of a message, and the states of a tool, to fewer and larger updates; passes all others at once. */
class Joiner {
  readonly #emit: (item: ReportedItem, last: number) => void
  /** Item that waits; `last` is the number of the last item in it. */
  #pending: { item: ReportedItem; last: number } | undefined
  #emittedAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(emit: (item: ReportedItem, last: number) => void) {
    this.#emit = emit
  }

  /** Adds an item; items are numbered from 1. */
  add(item: ReportedItem, number: number): void {
    const joined = this.#pending && join(this.#pending.item, item)
    if (!joined) this.flush()
    this.#pending = { item: joined ?? item, last: number }
    if (!mayWait(item) || performance.now() - this.#emittedAtMs >= JOIN_MS) this.flush()
    else this.#timer ??= setTimeout(() => this.flush(), JOIN_MS)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const pending = this.#pending
    if (!pending) return
    this.#pending = undefined
    this.#emittedAtMs = performance.now()
    this.#emit(pending.item, pending.last)
  }
}

function mayWait(item: ReportedItem): boolean {
  if (item.type !== 'update') return false
  const { update } = item
  if (update.kind === 'tool') return update.status === 'running' || update.status === undefined
  return update.kind === 'message' || update.kind === 'thought'
}

function join(a: ReportedItem, b: ReportedItem): ReportedItem | undefined {
  if (a.type !== 'update' || b.type !== 'update') return undefined
  const update = joinUpdates(a.update, b.update)
  return update && { type: 'update', update }
}

function joinUpdates(a: AgentUpdate, b: AgentUpdate): AgentUpdate | undefined {
  if ((a.kind === 'message' && b.kind === 'message') || (a.kind === 'thought' && b.kind === 'thought'))
    return a.text.length + b.text.length > MAX_JOINED_CHARACTERS ? undefined : { ...a, text: a.text + b.text }
  if (a.kind === 'tool' && b.kind === 'tool' && a.tool_id === b.tool_id) {
    const fields = Object.entries(b).filter(([, value]) => value !== undefined)
    return { ...a, ...Object.fromEntries(fields) }
  }
  return undefined
}
