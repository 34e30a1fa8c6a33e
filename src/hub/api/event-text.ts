import { StringDecoder } from 'node:string_decoder'
import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { FairTurns } from '../../platform/fair-turns.ts'

/** Most bytes of an output that are held for a reader. */
const PIECE_BYTES = 32 * 1024
/** What an event costs beside its text, measured in bytes of text. */
const EVENT_BYTES = 512
type Reads = Pick<EngineFace, 'output'>

/** The events of a run as text for one reader: in pieces, none larger than it may be, in turns with the other readers. */
export class EventText {
  readonly #engine: Reads
  readonly #turns: FairTurns
  readonly #user: string
  readonly #runId: string
  readonly #outputBytes: number
  /** What may still be sent before it is another's turn. */
  #credit = 0

  /** `outputBytes`: of each stream of an attempt only so many bytes come as text. */
  constructor(of: { engine: Reads; turns: FairTurns; user: string; runId: string; outputBytes?: number }) {
    this.#engine = of.engine
    this.#turns = of.turns
    this.#user = of.user
    this.#runId = of.runId
    this.#outputBytes = of.outputBytes ?? Number.POSITIVE_INFINITY
  }

  /** The event, which has no text yet, as JSON between the two texts. */
  async *json(event: RunEvent, before: string, after: string): AsyncGenerator<string> {
    if (event.type !== 'output' || event.offset >= this.#outputBytes) {
      const text = JSON.stringify(event)
      this.#credit -= EVENT_BYTES + text.length
      if (this.#credit < 0) (await this.#turn())[Symbol.dispose]()
      yield before + text + after
      return
    }
    const head = before + JSON.stringify({ ...event, text: '' }).slice(0, -2)
    const tail = `"}${after}`
    let lead = head
    let missing = 0
    for await (const piece of this.#pieces(event)) {
      missing = piece.missing
      const isWhole = piece.isLast && missing === 0
      yield lead + JSON.stringify(piece.text).slice(1, -1) + (isWhole ? tail : '')
      lead = ''
      if (isWhole) return
    }
    yield `${lead}","missing":${missing}}${after}`
  }

  /** The text of an output event. No piece cuts a character in two. */
  async *output(event: EventOf<'output'>): AsyncGenerator<string> {
    for await (const { text } of this.#pieces(event)) yield text
  }

  async *#pieces({ attempt, stream, offset, length }: EventOf<'output'>) {
    const end = Math.min(offset + length, this.#outputBytes)
    const decoder = new StringDecoder('utf8')
    for (let at = offset; at < end; ) {
      const bytes = await this.#read(attempt, stream, at, Math.min(end, at + PIECE_BYTES))
      at += bytes.length
      const missing = bytes.length === 0 ? end - at : 0
      const isLast = at >= end || missing > 0
      yield { text: decoder.write(bytes) + (isLast ? decoder.end() : ''), isLast, missing }
      if (isLast) return
    }
  }

  async #read(number: number, stream: StreamName, start: number, end: number): Promise<Buffer> {
    using _turn = await this.#turn()
    return await this.#engine.output(this.#runId, number, stream, start, end)
  }

  async #turn(): Promise<Disposable> {
    const turn = await this.#turns.take(this.#user)
    this.#credit = PIECE_BYTES
    return turn
  }
}
