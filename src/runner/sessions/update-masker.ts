import { clipNote } from '../../agents/clipped.ts'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'

const ends: ReadonlySet<AgentUpdate['kind']> = new Set([
  'thought',
  'tool',
  'prompt',
  'turn_ended',
  'permission',
])

/** Reports whether an update of this kind ends a message. */
export const endsMessage = ({ kind }: AgentUpdate): boolean => ends.has(kind)

type Piece = Extract<AgentUpdate, { kind: 'message' | 'thought' }>

/**
 * Hides secrets in updates. The pieces of a message are one stream, since a secret may begin in one and end in the
 * next. Text that may be the start of a secret comes with a later piece, or with the end of the message.
 */
export class UpdateMasker {
  readonly #masker: Masker
  readonly #emit: (update: AgentUpdate) => void
  #open: { kind: Piece['kind']; stream: StreamMasker } | undefined

  constructor(masker: Masker, emit: (update: AgentUpdate) => void) {
    this.#masker = masker
    this.#emit = emit
  }

  report(update: AgentUpdate): void {
    if (update.kind === 'message' || update.kind === 'thought') this.#piece(update)
    else {
      if (endsMessage(update)) this.flush()
      this.#emit(masked(update, this.#masker))
    }
  }

  /** Ends the message. */
  flush(): void {
    const open = this.#open
    this.#open = undefined
    if (open) this.#say(open.kind, open.stream.end())
  }

  #piece({ kind, text }: Piece): void {
    if (this.#open?.kind !== kind) this.flush()
    this.#open ??= { kind, stream: this.#masker.stream() }
    this.#say(kind, this.#open.stream.push(Buffer.from(text)))
  }

  #say(kind: Piece['kind'], bytes: Buffer): void {
    if (bytes.length > 0) this.#emit({ kind, text: bytes.toString() })
  }
}

/**
 * Masks the free texts of an update, up to where an agent's file has cut them; words that programs use stay unchanged.
 */
function masked(update: AgentUpdate, masker: Masker): AgentUpdate {
  const text = (value: string) => {
    const note = clipNote(value)
    return note === '' ? masker.maskText(value) : masker.maskBeginning(value.slice(0, -note.length)) + note
  }
  const some = <T extends string | undefined>(value: T) => (value === undefined ? value : text(value))
  switch (update.kind) {
    case 'prompt':
    case 'notice':
      return { ...update, text: text(update.text) }
    case 'tool':
      return {
        ...update,
        title: some(update.title),
        input: some(update.input),
        output: some(update.output),
        paths: update.paths?.map(text),
        diffs: update.diffs?.map(({ path, old_text, new_text, unified }) => ({
          path: text(path),
          old_text: some(old_text),
          new_text: some(new_text),
          unified: some(unified),
        })),
      }
    case 'plan':
      return { ...update, entries: update.entries.map((entry) => ({ ...entry, text: text(entry.text) })) }
    case 'permission': {
      const { editable, ...question } = update
      const input = some(update.input)
      return {
        ...question,
        title: text(update.title),
        paths: update.paths?.map(text),
        input,
        // Editing masked text would pass the mask to the tool.
        ...(editable && input === update.input ? { editable } : {}),
      }
    }
    case 'permission_answered':
      return { ...update, input: some(update.input) }
    case 'queue':
      return { ...update, text: some(update.text) }
    case 'retry':
      return { ...update, message: text(update.message) }
    case 'verify':
      return { ...update, command: text(update.command), output: some(update.output) }
    case 'turn_ended':
      return { ...update, message: some(update.message) }
    default:
      return update
  }
}
