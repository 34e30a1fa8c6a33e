import * as z from 'zod'

/** A message of the conversation, as Chat Completions and the conversation's file have it. */
export const Message = z.discriminatedUnion('role', [
  z.object({ role: z.literal('user'), content: z.string() }),
  z.object({
    role: z.literal('assistant'),
    content: z.string().nullable(),
    tool_calls: z
      .array(
        z.object({
          id: z.string(),
          type: z.literal('function'),
          /** A JSON object as text. */
          function: z.object({ name: z.string(), arguments: z.string() }),
        }),
      )
      .optional(),
  }),
  z.object({ role: z.literal('tool'), tool_call_id: z.string(), content: z.string() }),
])
export type Message = z.infer<typeof Message>

/** What a call without a result is answered. */
export const INTERRUPTED = 'interrupted: whether it had an effect is not known'

/** Calls at the end of the conversation that have no result. Services refuse a conversation that holds any. */
export function unansweredCalls(messages: readonly Message[]): string[] {
  const last = messages.findLastIndex((each) => each.role === 'assistant')
  const message = messages[last]
  if (message?.role !== 'assistant') return []
  const answered = new Set(
    messages.slice(last + 1).flatMap((each) => (each.role === 'tool' ? [each.tool_call_id] : [])),
  )
  return (message.tool_calls ?? []).map(({ id }) => id).filter((id) => !answered.has(id))
}
