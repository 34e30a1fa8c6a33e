import { type Answer, type Dialect, failureType, pieces, type StreamEvent } from './answer.ts'
import { isRecord, type ModelRequest, propertiesOf, records, string, textOf } from './request.ts'

function finishReason({ stop, calls }: Answer): string {
  if (stop === 'max_tokens') return 'length'
  if (stop === 'refusal') return 'content_filter'
  return calls.length > 0 ? 'tool_calls' : 'stop'
}

const usageOf = ({ usage: { input, cached, output } }: Answer) => ({
  prompt_tokens: input + cached,
  completion_tokens: output,
  total_tokens: input + cached + output,
  prompt_tokens_details: { cached_tokens: cached },
})

const toolCalls = ({ calls }: Answer) =>
  calls.map(({ id, tool, input }) => ({
    id,
    type: 'function',
    function: { name: tool.name, arguments: JSON.stringify(input) },
  }))

const envelope = (answer: Answer, { model }: ModelRequest, object: string) => ({
  id: `chatcmpl-${answer.number}`,
  object,
  created: 1_700_000_000,
  model,
})

/** The dialect of `POST /v1/chat/completions`. */
export const chat: Dialect = {
  api: 'chat',

  read(body) {
    const messages = records(body.messages)
    const answered = messages.findLastIndex(({ role }) => role === 'assistant')
    return {
      model: string(body.model),
      stream: body.stream === true,
      tools: records(body.tools)
        .map((tool) => (isRecord(tool.function) ? tool.function : {}))
        .map(({ name, parameters }) => ({
          name: string(name),
          type: 'function',
          properties: propertiesOf(parameters),
        })),
      prompts: messages.filter(({ role }) => role === 'user').map(({ content }) => textOf(content)),
      toolResults: messages
        .slice(answered + 1)
        .filter(({ role }) => role === 'tool')
        .map(({ tool_call_id, content }) => ({ id: string(tool_call_id), text: textOf(content) })),
    }
  },

  stream(answer, request) {
    const chunk = (choices: unknown[], rest: object = {}): StreamEvent => ({
      data: { ...envelope(answer, request, 'chat.completion.chunk'), choices, ...rest },
    })
    const delta = (content: object, finish_reason: string | null = null) =>
      chunk([{ index: 0, delta: content, finish_reason }])
    const includesUsage =
      isRecord(request.body.stream_options) && request.body.stream_options.include_usage === true
    return {
      head: [
        delta({ role: 'assistant', content: '' }),
        ...pieces(answer.thought).map((reasoning_content) => delta({ reasoning_content })),
        ...pieces(answer.text).map((content) => delta({ content })),
      ],
      tail: [
        ...toolCalls(answer).flatMap((call, index) => [
          delta({ tool_calls: [{ index, ...call, function: { name: call.function.name, arguments: '' } }] }),
          ...pieces(call.function.arguments).map((piece) =>
            delta({ tool_calls: [{ index, function: { arguments: piece } }] }),
          ),
        ]),
        delta({}, finishReason(answer)),
        ...(includesUsage ? [chunk([], { usage: usageOf(answer) })] : []),
      ],
    }
  },

  streamEnd: 'data: [DONE]\n\n',

  whole: (answer, request) => ({
    ...envelope(answer, request, 'chat.completion'),
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: answer.text === '' ? null : answer.text,
          ...(answer.thought === '' ? {} : { reasoning_content: answer.thought }),
          ...(answer.calls.length === 0 ? {} : { tool_calls: toolCalls(answer) }),
        },
        finish_reason: finishReason(answer),
      },
    ],
    usage: usageOf(answer),
  }),

  failure: (status, message) => ({ error: { message, type: failureType(status), param: null, code: null } }),
}
