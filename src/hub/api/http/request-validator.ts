import type { FastifySchemaCompiler } from 'fastify'
import type * as z from 'zod'
import { ErrandError } from '../../../contract/errors.ts'
import {
  examplesAt,
  type Finding,
  findingsOf,
  MOST_FAULTS,
  safeParse,
  unknownKey,
} from '../../../engine/workflow-file/issue-messages.ts'
import type { ValuePath } from '../../../engine/workflow-file/positions.ts'
import { cutShort, formatPath } from '../../../engine/workflow-file/problems.ts'

/** Maps Fastify's names of the parts of a request to ours. */
const places: Readonly<Record<string, string>> = { querystring: 'query' }

/**
 * Checks a part of a request by its schema. Problems are reported in sentences: the first in the message, all in
 * `details`.
 */
export const requestValidator: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart = 'body' }) => {
  const place = places[httpPart] ?? httpPart
  return (value: unknown) => {
    try {
      // Fastify passes a missing body as null.
      return { value: checked(schema, httpPart === 'body' ? (value ?? undefined) : value, place) }
    } catch (error) {
      return { error: error as Error }
    }
  }
}

/** Returns the value as the schema converts it. Throws `bad_request` with `place` and what is expected there. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, place: string): z.output<S> {
  const parsed = safeParse(schema, value)
  if (parsed.success) return parsed.data as z.output<S>
  if (value === undefined) throw refusal([{ field: place, message: 'is missing' }])
  const findings = findingsOf(parsed.error.issues, schema, value)
  const problems = findings.slice(0, MOST_FAULTS).map((each) => reportedIssue(place, each, schema))
  throw refusal(problems, findings.length > MOST_FAULTS)
}

interface ReportedIssue {
  field: string
  message: string
  hint?: string
}

function reportedIssue(
  place: string,
  { path, at, says, hint, expected }: Finding,
  schema: z.ZodType,
): ReportedIssue {
  const field = `${place}${path.length === 0 || typeof path[0] === 'number' ? '' : '.'}${formatPath(path)}`
  const message = says === unknownKey ? 'is not a known field' : says
  // Hints about values are about YAML.
  const meant =
    at === 'key'
      ? typeof hint === 'function'
        ? hint()
        : hint
      : inJson(path, examplesAt(schema, path), expected)
  return {
    field: cutShort(field),
    message: cutShort(message),
    ...(meant === undefined ? {} : { hint: cutShort(meant) }),
  }
}

/** An example of each kind of JSON value. */
const examples: Readonly<Record<string, unknown>> = {
  string: 'text',
  number: 1,
  int: 1,
  boolean: true,
  array: ['...'],
  object: { name: '...' },
  record: { name: '...' },
}

function inJson(path: ValuePath, values: readonly unknown[], expected = ''): string | undefined {
  const example = values[0] ?? examples[expected]
  if (example === undefined) return undefined
  const text = JSON.stringify(example)
  const name = path.at(-1)
  if (name === undefined) return `Send it as JSON, for example ${text}.`
  return typeof name === 'string' ? `Write it as ${JSON.stringify(name)}: ${text}.` : `Write each as ${text}.`
}

function refusal(problems: readonly ReportedIssue[], areMore = false): ErrandError {
  const [first] = problems
  const count = areMore ? `at least ${MOST_FAULTS} more` : `${problems.length - 1} more`
  const more = problems.length > 1 ? ` (and ${count})` : ''
  return new ErrandError('bad_request', `${first!.field} ${first!.message}${more}.`, {
    hint: first!.hint ?? 'See /docs for the fields.',
    details: problems,
  })
}
