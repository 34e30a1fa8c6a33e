import { clipped } from '../../agents/clipped.ts'
import { type AgentUpdate, MAX_UPDATE_BYTES } from '../../contract/agent.ts'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { Masker } from '../masking/masker.ts'
import { boundedUpdate } from './bounded-update.ts'
import { pieces, Spoken } from './spoken.ts'
import { UpdateMasker } from './update-masker.ts'

export type Told = Extract<AttemptReport, { type: 'update' | 'input_taken' }>

export interface UpdateTellerOptions {
  /** What is to be reported, in order. */
  tell(item: Told): void
  /** Hides the secrets in what is reported; absent: there are none. */
  masker?: Masker
  /** Text for the step's standard output. */
  say(text: string): void
}

const MOST_SHOWN_PROMPT_BYTES = MAX_UPDATE_BYTES / 4

/** Tells what happens in a session as others may see it: without secrets, in pieces, within the limit. */
export class UpdateTeller {
  readonly #options: UpdateTellerOptions
  readonly #spoken: Spoken
  readonly #masked: UpdateMasker | undefined

  constructor(options: UpdateTellerOptions) {
    const { masker, say } = options
    this.#options = options
    this.#spoken = new Spoken(say)
    this.#masked = masker && new UpdateMasker(masker, (update) => this.#report(update))
  }

  /** The last message of the turn, whole. */
  get answer(): string {
    return this.#spoken.answer
  }

  turnBegins(): void {
    this.#spoken.turnBegins()
  }

  tell(update: AgentUpdate): void {
    if (update.kind === 'message' || update.kind === 'thought')
      for (const text of pieces(update.text)) this.#tell({ kind: update.kind, text })
    else this.#tell(update)
  }

  prompt(inputId: string, text: string): void {
    const shown = this.#options.masker?.maskText(text) ?? text
    this.#tell({ kind: 'prompt', input_id: inputId, text: clipped(shown, MOST_SHOWN_PROMPT_BYTES) })
  }

  inputTaken(inputId: string): void {
    this.#options.tell({ type: 'input_taken', input_id: inputId })
  }

  /** It is over: nothing of a message is held back any more. */
  flush(): void {
    this.#masked?.flush()
  }

  #tell(update: AgentUpdate): void {
    this.#spoken.follow(update)
    if (this.#masked) this.#masked.tell(update)
    else this.#report(update)
  }

  #report(update: AgentUpdate): void {
    this.#options.tell({ type: 'update', update: boundedUpdate(update) })
  }
}
