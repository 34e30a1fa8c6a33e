import { type Answer, type Dialect, failureType, type StreamEvent } from './answer.ts'
import { type ModelRequest, type OfferedTool, propertiesOf, records, string, textOf } from './request.ts'
import { begun, type Item, items, parts } from './response-items.ts'

/**
 * Returns the offered tools. For some model names, codex offers its tools in an input item instead of `tools`. Groups
 * of tools nest.
 */
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

/** The dialect of `POST /v1/responses`. */
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
