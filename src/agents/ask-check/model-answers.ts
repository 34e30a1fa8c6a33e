import type { ToolUse } from './offered-tools.ts'

/** What the model says: a call of a tool, or a word. */
export type Said = { call: ToolUse } | { text: string }

/** One way of asking a model: the answer as the events of a stream, and as one object. */
export interface AnswerShape {
  stream(said: Said, model: string): { name?: string; data: unknown }[]
  whole(said: Said, model: string): unknown
  /** Sent behind the last event. */
  end?: string
}

const ID = 'call_ask_check'
const usage = { input_tokens: 1, output_tokens: 1 }
const json = (call: ToolUse) => JSON.stringify(call.input)

/** `POST …/messages`. */
const messages: AnswerShape = {
  whole(said, model) {
    const block =
      'text' in said
        ? { type: 'text', text: said.text }
        : { type: 'tool_use', id: ID, name: said.call.tool.name, input: said.call.input }
    const stop_reason = 'text' in said ? 'end_turn' : 'tool_use'
    return {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model,
      content: [block],
      stop_reason,
      stop_sequence: null,
      usage,
    }
  },
  stream(said, model) {
    const event = (type: string, rest: object = {}) => ({ name: type, data: { type, ...rest } })
    const [empty, delta] =
      'text' in said
        ? [
            { type: 'text', text: '' },
            { type: 'text_delta', text: said.text },
          ]
        : [
            { type: 'tool_use', id: ID, name: said.call.tool.name, input: {} },
            { type: 'input_json_delta', partial_json: json(said.call) },
          ]
    const message = { ...(this.whole(said, model) as object), content: [], stop_reason: null }
    const stop_reason = 'text' in said ? 'end_turn' : 'tool_use'
    return [
      event('message_start', { message }),
      event('content_block_start', { index: 0, content_block: empty }),
      event('content_block_delta', { index: 0, delta }),
      event('content_block_stop', { index: 0 }),
      event('message_delta', { delta: { stop_reason, stop_sequence: null }, usage }),
      event('message_stop'),
    ]
  },
}

function responseItem(said: Said): object {
  if ('text' in said) {
    const content = [{ type: 'output_text', text: said.text, annotations: [] }]
    return { id: 'msg_1', type: 'message', status: 'completed', role: 'assistant', content }
  }
  const { tool, input } = said.call
  const namespace = tool.namespace === undefined ? {} : { namespace: tool.namespace }
  const common = { status: 'completed', call_id: ID, name: tool.name, ...namespace }
  return tool.custom
    ? { ...common, id: 'ctc_1', type: 'custom_tool_call', input: String(input) }
    : { ...common, id: 'fc_1', type: 'function_call', arguments: json(said.call) }
}

/** `POST …/responses`. */
const responses: AnswerShape = {
  whole: (said, model) => ({
    id: 'resp_1',
    object: 'response',
    created_at: 1_700_000_000,
    status: 'completed',
    model,
    output: [responseItem(said)],
    error: null,
    tools: [],
    usage: { ...usage, total_tokens: 2 },
  }),
  stream(said, model) {
    const whole = this.whole(said, model) as object
    const item = responseItem(said)
    const event = (type: string, rest: object) => ({ name: type, data: { type, ...rest } })
    return [
      event('response.created', { response: { ...whole, status: 'in_progress', output: [], usage: null } }),
      event('response.output_item.added', { output_index: 0, item: { ...item, status: 'in_progress' } }),
      event('response.output_item.done', { output_index: 0, item }),
      event('response.completed', { response: whole }),
    ]
  },
}

const choice = (said: Said) =>
  'text' in said
    ? { role: 'assistant', content: said.text }
    : {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            index: 0,
            id: ID,
            type: 'function',
            function: { name: said.call.tool.name, arguments: json(said.call) },
          },
        ],
      }

const chatUsage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
const head = (object: string, model: string) => ({ id: 'chatcmpl-1', object, created: 1_700_000_000, model })

/** `POST …/chat/completions`. */
const chat: AnswerShape = {
  whole: (said, model) => ({
    ...head('chat.completion', model),
    choices: [{ index: 0, message: choice(said), finish_reason: 'text' in said ? 'stop' : 'tool_calls' }],
    usage: chatUsage,
  }),
  stream(said, model) {
    const chunk = (delta: object, finish_reason: string | null) => ({
      data: { ...head('chat.completion.chunk', model), choices: [{ index: 0, delta, finish_reason }] },
    })
    return [
      chunk(choice(said), null),
      chunk({}, 'text' in said ? 'stop' : 'tool_calls'),
      { data: { ...head('chat.completion.chunk', model), choices: [], usage: chatUsage } },
    ]
  },
  end: 'data: [DONE]\n\n',
}

/** By the path that is asked; undefined for what is no question to a model. */
export function answerShape(path: string): AnswerShape | undefined {
  if (path.endsWith('/messages')) return messages
  if (path.endsWith('/responses')) return responses
  return path.endsWith('/chat/completions') ? chat : undefined
}
