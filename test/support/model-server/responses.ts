import { type Answer, type Dialect, failureType, pieces, type StreamEvent } from './answer.ts'
import { type ModelRequest, type OfferedTool, propertiesOf, records, string, textOf } from './request.ts'
import type { ToolCall } from './tool-choice.ts'

/** Some names of models make codex offer its tools in an input item instead of `tools`; groups of tools nest. */
function offered(tools: unknown, namespace?: string): OfferedTool[] {
  return records(tools).flatMap((tool): OfferedTool[] => {
    if (tool.type === 'namespace') return offered(tool.tools, string(tool.name))
    if (tool.type === 'local_shell')
      return [{ name: 'local_shell', type: 'local_shell', properties: ['command'] }]
    if (tool.type !== 'function' && tool.type !== 'custom') return []
    return [
      {
        name: string(tool.name),
        type: tool.type,
        properties: propertiesOf(tool.parameters),
        ...(namespace === undefined ? {} : { namespace }),
      },
    ]
  })
}

const usageOf = ({ usage: { input, cached, output } }: Answer) => ({
  input_tokens: input + cached,
  input_tokens_details: { cached_tokens: cached },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: input + cached + output,
})

function response(answer: Answer, { model }: ModelRequest, status: string, output: unknown[]) {
  const incomplete = { max_tokens: 'max_output_tokens', refusal: 'content_filter', through: '' }[answer.stop]
  return {
    id: `resp_${answer.number}`,
    object: 'response',
    created_at: 1_700_000_000,
    status,
    model,
    output,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: incomplete } : null,
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    usage: status === 'in_progress' ? null : usageOf(answer),
  }
}

const endStatus = ({ stop }: Answer): string => (stop === 'through' ? 'completed' : 'incomplete')

function thoughtItem({ number, thought }: Answer) {
  const summary = [{ type: 'summary_text', text: thought }]
  return thought === ''
    ? []
    : [{ id: `rs_${number}`, type: 'reasoning', summary, encrypted_content: 'c2VhbGVk' }]
}

function textItem({ number, text }: Answer) {
  const content = [{ type: 'output_text', text, annotations: [] }]
  return text === ''
    ? []
    : [{ id: `msg_${number}`, type: 'message', status: 'completed', role: 'assistant', content }]
}

function callItem({ id: call_id, tool, input }: ToolCall & { id: string }) {
  const common = {
    status: 'completed',
    call_id,
    ...(tool.namespace === undefined ? {} : { namespace: tool.namespace }),
  }
  if (tool.type === 'custom')
    return {
      ...common,
      id: `ctc_${call_id}`,
      type: 'custom_tool_call',
      name: tool.name,
      input: String(input),
    }
  if (tool.type === 'local_shell')
    return {
      ...common,
      id: `lsh_${call_id}`,
      type: 'local_shell_call',
      action: { type: 'exec', ...(input as object) },
    }
  return {
    ...common,
    id: `fc_${call_id}`,
    type: 'function_call',
    name: tool.name,
    arguments: JSON.stringify(input),
  }
}

const items = (answer: Answer) => [
  ...thoughtItem(answer),
  ...textItem(answer),
  ...answer.calls.map((call) => callItem(call)),
]

type Item = ReturnType<typeof items>[number]

/** What is streamed of an item between its being added and done. */
function parts(item: Item, output_index: number): StreamEvent[] {
  const at = { item_id: item.id, output_index }
  const event = (type: string, rest: object): StreamEvent => ({ name: type, data: { type, ...at, ...rest } })
  const deltas = (type: string, text: string, rest: object = {}) =>
    pieces(text).map((delta) => event(type, { ...rest, delta }))
  if ('summary' in item) {
    const { text } = item.summary[0]!
    const place = { summary_index: 0 }
    return [
      event('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } }),
      ...deltas('response.reasoning_summary_text.delta', text, place),
      event('response.reasoning_summary_text.done', { ...place, text }),
      event('response.reasoning_summary_part.done', { ...place, part: item.summary[0] }),
    ]
  }
  if ('content' in item) {
    const part = item.content[0]!
    const place = { content_index: 0 }
    return [
      event('response.content_part.added', { ...place, part: { ...part, text: '' } }),
      ...deltas('response.output_text.delta', part.text, place),
      event('response.output_text.done', { ...place, text: part.text }),
      event('response.content_part.done', { ...place, part }),
    ]
  }
  if ('arguments' in item)
    return [
      ...deltas('response.function_call_arguments.delta', item.arguments),
      event('response.function_call_arguments.done', { arguments: item.arguments }),
    ]
  if ('input' in item)
    return [
      ...deltas('response.custom_tool_call_input.delta', item.input),
      event('response.custom_tool_call_input.done', { input: item.input }),
    ]
  return []
}

/** The item as it is when it has just begun. */
function begun(item: Item): object {
  if ('summary' in item) return { ...item, summary: [] }
  if ('content' in item) return { ...item, status: 'in_progress', content: [] }
  if ('arguments' in item) return { ...item, status: 'in_progress', arguments: '' }
  if ('input' in item) return { ...item, status: 'in_progress', input: '' }
  return { ...item, status: 'in_progress' }
}

/** `POST /v1/responses`. */
export const responses: Dialect = {
  api: 'responses',

  read(body) {
    const input =
      typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : records(body.input)
    const answered = input.findLastIndex(
      ({ type, role }) => role === 'assistant' || /_call$|^reasoning$/.test(string(type)),
    )
    return {
      model: string(body.model),
      stream: body.stream === true,
      tools: [...offered(body.tools), ...input.flatMap((item) => offered(item.tools))],
      prompts: input.filter(({ role }) => role === 'user').map(({ content }) => textOf(content)),
      toolResults: input
        .slice(answered + 1)
        .filter(({ type }) => string(type).endsWith('_call_output'))
        .map(({ call_id, output }) => ({ id: string(call_id), text: textOf(output) })),
    }
  },

  stream(answer, request) {
    const all = items(answer)
    const heads = all.length - answer.calls.length
    const outer = (type: string, status: string, output: Item[]): StreamEvent => ({
      name: type,
      data: { type, response: response(answer, request, status, output) },
    })
    const itemEvents = (from: number, to?: number): StreamEvent[] =>
      all.slice(from, to).flatMap((item, index) => {
        const output_index = from + index
        const event = (type: string, what: object) => ({
          name: type,
          data: { type, output_index, item: what },
        })
        return [
          event('response.output_item.added', begun(item)),
          ...parts(item, output_index),
          event('response.output_item.done', item),
        ]
      })
    const status = endStatus(answer)
    const head = [
      outer('response.created', 'in_progress', []),
      outer('response.in_progress', 'in_progress', []),
      ...itemEvents(0, heads),
    ]
    const tail = [...itemEvents(heads), outer(`response.${status}`, status, all)]
    for (const [sequence_number, event] of [...head, ...tail].entries())
      Object.assign(event.data as object, { sequence_number })
    return { head, tail }
  },

  whole: (answer, request) => response(answer, request, endStatus(answer), items(answer)),

  failure: (status, message) => ({ error: { message, type: failureType(status), param: null, code: null } }),
}
