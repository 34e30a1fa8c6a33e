import * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'

export type AnswerValue = { json: string } | { wrong: string }

/** Finds a value in an answer and checks it by a JSON Schema. Throws `invalid_argument` for what is no such schema. */
export function answerValue(schema: Record<string, unknown>): (answer: string) => AnswerValue {
  let type: z.ZodType
  try {
    type = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])
  } catch (cause) {
    throw new ErrandError(
      'invalid_argument',
      `args.output_schema is no JSON Schema: ${(cause as Error).message}.`,
      { cause },
    )
  }
  return (answer) => {
    const found = lastJson(answer)
    if (found === undefined) return { wrong: 'the answer holds no JSON value' }
    const parsed = type.safeParse(found.value)
    if (parsed.success) return { json: JSON.stringify(found.value) }
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.length > 0 ? `at ${issue.path.join('.')}: ` : ''}${issue.message}`,
    )
    return { wrong: problems.join('; ') }
  }
}

/** What is put behind the prompt, so that the agent knows what is wanted. */
export const valueWanted = (schema: Record<string, unknown>): string =>
  `\n\nEnd your last message with one JSON value, in a \`\`\`json block, that fits this JSON Schema:\n${JSON.stringify(schema)}`

export const valueWrong = (wrong: string, schema: Record<string, unknown>): string =>
  `The JSON value at the end of your last message does not fit: ${wrong}.${valueWanted(schema)}`

/** The whole text, the last fenced block that is JSON, or the last object or list in the text. */
function lastJson(text: string): { value: unknown } | undefined {
  const whole = parsed(text)
  if (whole) return whole
  const fences = [...text.matchAll(/```[\w-]*[ \t]*\r?\n([\s\S]*?)\r?\n[ \t]*```/g)]
  for (const fence of fences.reverse()) {
    const value = parsed(fence[1]!)
    if (value) return value
  }
  return lastBraced(text)
}

/** How many ends of an object or list are tried, from the last. */
const MAX_TRIES = 200

function lastBraced(text: string): { value: unknown } | undefined {
  const end = Math.max(text.lastIndexOf('}'), text.lastIndexOf(']'))
  if (end < 0) return undefined
  const open = text[end] === '}' ? '{' : '['
  let found: { value: unknown } | undefined
  let at = end
  for (let tries = 0; tries < MAX_TRIES && at > 0; tries++) {
    at = text.lastIndexOf(open, at - 1)
    if (at < 0) break
    // The longest is the whole value, the others are parts of it.
    const value = parsed(text.slice(at, end + 1))
    if (value) found = value
    else if (found) break
  }
  return found
}

function parsed(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
