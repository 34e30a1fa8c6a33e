import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type JsonObject, object, objects, parsedObject, string } from '../acp/json-rpc.ts'

const MAX_BODY_BYTES = 32 * 1024 * 1024

export interface AskingModel {
  url: string
  /** Stops the service. May be called twice. */
  close(): Promise<void>
}

/** Starts a model service on the loopback interface whose first answer requests that a file be written. */
export async function openAskingModel(file: string, content: string): Promise<AskingModel> {
  let isAnswered = false
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '').split('?')[0]!
    const body = parsedObject(await textOf(request)) ?? {}
    const shape = request.method === 'POST' ? answerShape(path) : undefined
    if (!shape)
      return json(
        response,
        path.endsWith('/count_tokens') ? { input_tokens: 1 } : { object: 'list', data: [] },
      )
    const call = isAnswered ? undefined : writingCall(offeredTools(body), file, content)
    if (call) isAnswered = true
    const reply = call ? { call } : { text: 'Done.' }
    const model = string(body.model) ?? ''
    if (body.stream !== true) return json(response, shape.whole(reply, model))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const { name, data } of shape.stream(reply, model))
      response.write(`${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`)
    response.end(shape.end)
  }
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      if (!server.listening) return
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Error('too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Answer of the model: a tool call or a text. */
type Reply = { call: ToolUse } | { text: string }

/** Describes one API of models: the answer as the events of a stream, and as one object. */
interface AnswerShape {
  stream(reply: Reply, model: string): { name?: string; data: unknown }[]
  whole(reply: Reply, model: string): unknown
  /** Text that is sent after the last event. */
  end?: string
}

const ID = 'call_ask_check'
const usage = { input_tokens: 1, output_tokens: 1 }
const inputJson = (call: ToolUse) => JSON.stringify(call.input)

/** Describes the answers to `POST …/messages`. */
const messages: AnswerShape = {
  whole(reply, model) {
    const block =
      'text' in reply
        ? { type: 'text', text: reply.text }
        : { type: 'tool_use', id: ID, name: reply.call.tool.name, input: reply.call.input }
    const stop_reason = 'text' in reply ? 'end_turn' : 'tool_use'
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
  stream(reply, model) {
    const event = (type: string, rest: object = {}) => ({ name: type, data: { type, ...rest } })
    const [empty, delta] =
      'text' in reply
        ? [
            { type: 'text', text: '' },
            { type: 'text_delta', text: reply.text },
          ]
        : [
            { type: 'tool_use', id: ID, name: reply.call.tool.name, input: {} },
            { type: 'input_json_delta', partial_json: inputJson(reply.call) },
          ]
    const message = { ...(this.whole(reply, model) as object), content: [], stop_reason: null }
    const stop_reason = 'text' in reply ? 'end_turn' : 'tool_use'
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

function responseItem(reply: Reply): object {
  if ('text' in reply) {
    const content = [{ type: 'output_text', text: reply.text, annotations: [] }]
    return { id: 'msg_1', type: 'message', status: 'completed', role: 'assistant', content }
  }
  const { tool, input } = reply.call
  const namespace = tool.namespace === undefined ? {} : { namespace: tool.namespace }
  const common = { status: 'completed', call_id: ID, name: tool.name, ...namespace }
  return tool.custom
    ? { ...common, id: 'ctc_1', type: 'custom_tool_call', input: String(input) }
    : { ...common, id: 'fc_1', type: 'function_call', arguments: inputJson(reply.call) }
}

/** Describes the answers to `POST …/responses`. */
const responses: AnswerShape = {
  whole: (reply, model) => ({
    id: 'resp_1',
    object: 'response',
    created_at: 1_700_000_000,
    status: 'completed',
    model,
    output: [responseItem(reply)],
    error: null,
    tools: [],
    usage: { ...usage, total_tokens: 2 },
  }),
  stream(reply, model) {
    const whole = this.whole(reply, model) as object
    const item = responseItem(reply)
    const event = (type: string, rest: object) => ({ name: type, data: { type, ...rest } })
    return [
      event('response.created', { response: { ...whole, status: 'in_progress', output: [], usage: null } }),
      event('response.output_item.added', { output_index: 0, item: { ...item, status: 'in_progress' } }),
      event('response.output_item.done', { output_index: 0, item }),
      event('response.completed', { response: whole }),
    ]
  },
}

const choice = (reply: Reply) =>
  'text' in reply
    ? { role: 'assistant', content: reply.text }
    : {
        role: 'assistant',
        content: null,
        tool_calls: [
          {
            index: 0,
            id: ID,
            type: 'function',
            function: { name: reply.call.tool.name, arguments: inputJson(reply.call) },
          },
        ],
      }

const chatUsage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
const head = (object: string, model: string) => ({ id: 'chatcmpl-1', object, created: 1_700_000_000, model })

/** Describes the answers to `POST …/chat/completions`. */
const chat: AnswerShape = {
  whole: (reply, model) => ({
    ...head('chat.completion', model),
    choices: [{ index: 0, message: choice(reply), finish_reason: 'text' in reply ? 'stop' : 'tool_calls' }],
    usage: chatUsage,
  }),
  stream(reply, model) {
    const chunk = (delta: object, finish_reason: string | null) => ({
      data: { ...head('chat.completion.chunk', model), choices: [{ index: 0, delta, finish_reason }] },
    })
    return [
      chunk(choice(reply), null),
      chunk({}, 'text' in reply ? 'stop' : 'tool_calls'),
      { data: { ...head('chat.completion.chunk', model), choices: [], usage: chatUsage } },
    ]
  },
  end: 'data: [DONE]\n\n',
}

/** Returns the API for a path, or undefined if the path is not for a call of a model. */
function answerShape(path: string): AnswerShape | undefined {
  if (path.endsWith('/messages')) return messages
  if (path.endsWith('/responses')) return responses
  return path.endsWith('/chat/completions') ? chat : undefined
}

/** Describes a tool that a program offers to a model. */
interface OfferedTool {
  name: string
  /** Whether its input is a text instead of JSON. */
  custom: boolean
  /** Names of its arguments. */
  properties: string[]
  namespace?: string
}

/** Returns the tools in a request of any of the three APIs; some are in items of the input. */
function offeredTools(body: JsonObject): OfferedTool[] {
  return [...toolsIn(body.tools), ...objects(body.input).flatMap((item) => toolsIn(item.tools))]
}

function toolsIn(tools: unknown, namespace?: string): OfferedTool[] {
  return objects(tools).flatMap((tool): OfferedTool[] => {
    if (tool.type === 'namespace') return toolsIn(tool.tools, string(tool.name))
    const inner = object(tool.function) ?? tool
    const schema = object(inner.parameters) ?? object(inner.input_schema)
    const name = string(inner.name)
    if (name === undefined) return []
    const properties = Object.keys(object(schema?.properties) ?? {})
    return [
      { name, custom: tool.type === 'custom', properties, ...(namespace === undefined ? {} : { namespace }) },
    ]
  })
}

interface ToolUse {
  tool: OfferedTool
  /** Text for a custom tool, otherwise an object. */
  input: unknown
}

/** Returns a call that writes the file, with a tool for files or a shell, or undefined if neither is offered. */
function writingCall(tools: readonly OfferedTool[], path: string, content: string): ToolUse | undefined {
  const patch = `*** Begin Patch\n*** Add File: ${path}\n+${content}\n*** End Patch\n`
  const command = `printf '%s' '${content}' > '${path}'`
  const ways: [RegExp, (tool: OfferedTool) => unknown][] = [
    [
      /^(write|write_file|create|create_file)$/i,
      (tool) =>
        named(tool, {
          file_path: path,
          filePath: path,
          path,
          content,
          contents: content,
          file_text: content,
        }),
    ],
    [/^apply_patch$/, (tool) => (tool.custom ? patch : named(tool, { input: patch, patchText: patch }))],
    [/^exec$/, () => `text(await tools.apply_patch(${JSON.stringify(patch)}))`],
    [
      /^(bash|shell|shell_command|exec_command|run_command)$/i,
      (tool) => ({
        ...(tool.name === 'shell'
          ? { command: ['sh', '-c', command] }
          : named(tool, { command, cmd: command })),
        ...named(tool, { description: 'Creates a file' }),
      }),
    ],
  ]
  for (const [name, input] of ways) {
    const tool = tools.find((each) => name.test(each.name))
    if (tool) return { tool, input: input(tool) }
  }
  return undefined
}

const named = (tool: OfferedTool, values: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(values).filter(([name]) => tool.properties.includes(name)))
