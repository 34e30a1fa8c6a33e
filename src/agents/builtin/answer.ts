import type { Usage } from '../../contract/agent.ts'

/** Describes one answer of the model, complete or as far as it arrived. */
export interface Answer {
  text: string
  calls: ModelCall[]
  /** Reason for its end; absent if the answer is incomplete. */
  finish?: 'stop' | 'length' | 'refusal'
  usage?: Usage
}

export interface ModelCall {
  /** Id of the call; with some services it is empty, or was used before. */
  id: string
  name: string
  arguments: string
}

/** Describes a piece of a streamed answer; services leave out different fields. */
export interface AnswerChunk {
  choices?: readonly { delta?: Delta; finish_reason?: string | null }[]
  usage?: {
    prompt_tokens?: number
    completion_tokens?: number
    prompt_tokens_details?: { cached_tokens?: number } | null
  } | null
}

/** Describes the change in a piece, including fields that only services other than OpenAI's send. */
interface Delta {
  content?: string | null
  refusal?: string | null
  reasoning_content?: string
  reasoning?: string
  tool_calls?: readonly { index?: number; id?: string; function?: { name?: string; arguments?: string } }[]
}

/** Longest answer; no useful one is longer. */
const MOST_CHARS = 8 * 1024 * 1024

/** Assumed characters per token, if the service does not count tokens. */
const CHARS_PER_TOKEN = 4

/** Assembles the chunks of a stream into an answer; `requestChars` is the length of the request. */
export class AnswerReader {
  readonly #requestChars: number
  readonly #calls: (ModelCall & { index: number })[] = []
  #text = ''
  #refused = false
  #finish: Answer['finish']
  #usage: Usage | undefined
  #chars = 0

  constructor(requestChars: number) {
    this.#requestChars = requestChars
  }

  /** Takes a chunk and returns the part of it that people see. Throws if the answer is too long. */
  take(chunk: AnswerChunk): { text: string; thought: string } {
    if (chunk.usage !== undefined && chunk.usage !== null) this.#usage = usageOf(chunk.usage)
    const choice = chunk.choices?.[0]
    const delta: Delta = choice?.delta ?? {}
    const text = (delta.content ?? '') + (delta.refusal ?? '')
    const thought = delta.reasoning_content ?? delta.reasoning ?? ''
    this.#text += text
    this.#chars += text.length + thought.length
    if (delta.refusal) this.#refused = true
    for (const part of delta.tool_calls ?? []) this.#takeCall(part)
    if (this.#chars > MOST_CHARS) throw new Error('The answer of the model is too long.')
    if (choice?.finish_reason) this.#finish = finishOf(choice.finish_reason)
    return { text, thought: typeof thought === 'string' ? thought : '' }
  }

  get answer(): Answer {
    return {
      text: this.#text,
      calls: this.#calls.map(({ index: _, ...call }) => call),
      finish: this.#finish === 'stop' && this.#refused ? 'refusal' : this.#finish,
      usage: this.#finish === undefined ? this.#usage : this.#counted(this.#usage ?? nothing),
    }
  }

  /** Estimates tokens that the service did not report, or reported as zero, so that a budget still applies. */
  #counted({ input_tokens, cached_input_tokens, output_tokens }: Usage): Usage {
    const estimate = (chars: number) => Math.ceil(chars / CHARS_PER_TOKEN)
    const hasInput = input_tokens + cached_input_tokens > 0
    return {
      input_tokens: hasInput ? input_tokens : estimate(this.#requestChars),
      cached_input_tokens,
      output_tokens: output_tokens > 0 ? output_tokens : estimate(this.#chars),
    }
  }

  #takeCall({ index = 0, id = '', function: part = {} }: NonNullable<Delta['tool_calls']>[number]): void {
    let call = this.#calls.findLast((each) => each.index === index)
    // Some services give every call the same index; then each call comes whole, with its own id.
    if (call === undefined || (id !== '' && call.id !== '' && id !== call.id)) {
      call = { index, id: '', name: '', arguments: '' }
      this.#calls.push(call)
    }
    call.id ||= id
    call.name ||= part.name ?? ''
    call.arguments += part.arguments ?? ''
    this.#chars += (part.arguments ?? '').length
  }
}

function finishOf(reason: string): NonNullable<Answer['finish']> {
  if (reason === 'length') return 'length'
  return reason === 'content_filter' ? 'refusal' : 'stop'
}

const nothing: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

function usageOf(usage: NonNullable<AnswerChunk['usage']>): Usage {
  const count = (value: number | undefined) => Math.max(0, Math.round(Number(value) || 0))
  const cached = count(usage.prompt_tokens_details?.cached_tokens)
  return {
    input_tokens: Math.max(0, count(usage.prompt_tokens) - cached),
    cached_input_tokens: cached,
    output_tokens: count(usage.completion_tokens),
  }
}
