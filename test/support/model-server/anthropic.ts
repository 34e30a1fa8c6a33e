import { type Answer, type Dialect, failureType, pieces, type StreamEvent } from './answer.ts'
import { type ModelRequest, propertiesOf, records, string, textOf } from './request.ts'

const stopReasons = { max_tokens: 'max_tokens', refusal: 'refusal' } as const

function stopReason({ stop, calls }: Answer): string {
  if (stop !== 'through') return stopReasons[stop]
  return calls.length > 0 ? 'tool_use' : 'end_turn'
}

const usageOf = ({ usage }: Answer) => ({
  input_tokens: usage.input,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: usage.cached,
  output_tokens: usage.output,
})

const message = (answer: Answer, { model }: ModelRequest) => ({
  id: `msg_${answer.number}`,
  type: 'message',
  role: 'assistant',
  model,
  content: [] as unknown[],
  stop_reason: null as string | null,
  stop_sequence: null,
  usage: usageOf(answer),
})

function blocks({ thought, text, calls }: Answer) {
  return [
    ...(thought === '' ? [] : [{ type: 'thinking' as const, thinking: thought, signature: 'c2lnbmF0dXJl' }]),
    ...(text === '' ? [] : [{ type: 'text' as const, text }]),
    ...calls.map(({ id, tool, input }) => ({ type: 'tool_use' as const, id, name: tool.name, input })),
  ]
}

function blockEvents(block: ReturnType<typeof blocks>[number], index: number): StreamEvent[] {
  const event = (type: string, rest: object): StreamEvent => ({ name: type, data: { type, index, ...rest } })
  const deltas = (type: string, field: string, text: string) =>
    pieces(text).map((piece) => event('content_block_delta', { delta: { type, [field]: piece } }))
  const start = (content_block: object) => event('content_block_start', { content_block })
  const stop = event('content_block_stop', {})
  if (block.type === 'thinking')
    return [
      start({ type: 'thinking', thinking: '', signature: '' }),
      ...deltas('thinking_delta', 'thinking', block.thinking),
      event('content_block_delta', { delta: { type: 'signature_delta', signature: block.signature } }),
      stop,
    ]
  if (block.type === 'text')
    return [start({ type: 'text', text: '' }), ...deltas('text_delta', 'text', block.text), stop]
  return [
    start({ ...block, input: {} }),
    ...deltas('input_json_delta', 'partial_json', JSON.stringify(block.input)),
    stop,
  ]
}

/** The dialect of `POST /v1/messages`. */
export const anthropic: Dialect = {
  api: 'anthropic',

  read(body) {
    const messages = records(body.messages)
    const last = messages.at(-1)
    return {
      model: string(body.model),
      stream: body.stream === true,
      tools: records(body.tools).map(({ name, input_schema }) => ({
        name: string(name),
        type: 'function',
        properties: propertiesOf(input_schema),
      })),
      prompts: messages
        .filter(({ role }) => role === 'user')
        .map(({ content }) =>
          typeof content === 'string'
            ? content
            : textOf(records(content).filter(({ type }) => type === 'text')),
        )
        .filter((text) => text !== ''),
      toolResults: records(last?.content)
        .filter(({ type }) => type === 'tool_result')
        .map(({ tool_use_id, content }) => ({ id: string(tool_use_id), text: textOf(content) })),
    }
  },

  stream(answer, request) {
    const all = blocks(answer)
    const events = (isIncluded: (type: string) => boolean) =>
      all.flatMap((block, index) => (isIncluded(block.type) ? blockEvents(block, index) : []))
    return {
      head: [
        { name: 'message_start', data: { type: 'message_start', message: message(answer, request) } },
        { name: 'ping', data: { type: 'ping' } },
        ...events((type) => type !== 'tool_use'),
      ],
      tail: [
        ...events((type) => type === 'tool_use'),
        {
          name: 'message_delta',
          data: {
            type: 'message_delta',
            delta: { stop_reason: stopReason(answer), stop_sequence: null },
            usage: usageOf(answer),
          },
        },
        { name: 'message_stop', data: { type: 'message_stop' } },
      ],
    }
  },

  whole: (answer, request) => ({
    ...message(answer, request),
    content: blocks(answer),
    stop_reason: stopReason(answer),
  }),

  failure: (status, text) => ({ type: 'error', error: { type: failureType(status), message: text } }),
}
