import { type Answer, pieces, type StreamEvent } from './answer.ts'
import type { ToolCall } from './tool-choice.ts'

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

/** Returns the items of an answer, calls last. */
export const items = (answer: Answer) => [
  ...thoughtItem(answer),
  ...textItem(answer),
  ...answer.calls.map((call) => callItem(call)),
]

export type Item = ReturnType<typeof items>[number]

/** Returns the events of an item between those that say it is added and done. */
export function parts(item: Item, output_index: number): StreamEvent[] {
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

/** Returns the item as it is at its beginning. */
export function begun(item: Item): object {
  if ('summary' in item) return { ...item, summary: [] }
  if ('content' in item) return { ...item, status: 'in_progress', content: [] }
  if ('arguments' in item) return { ...item, status: 'in_progress', arguments: '' }
  if ('input' in item) return { ...item, status: 'in_progress', input: '' }
  return { ...item, status: 'in_progress' }
}
