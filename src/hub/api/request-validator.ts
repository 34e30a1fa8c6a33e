import type { FastifySchemaCompiler } from 'fastify'
import type * as z from 'zod'
import { ErrandError } from '../../contract/errors.ts'
import { formatPath } from '../../engine/file/problem.ts'
import { safeParse } from '../../engine/file/safe-parse.ts'
import { type Finding, findingsOf, unknownKey } from '../../engine/file/sentences.ts'

/** Fastify's names of the parts of a request, and ours. */
const places: Readonly<Record<string, string>> = { querystring: 'query' }

/** Checks a part of a request by its schema; what is wrong with it is told in sentences, all of it in `details`. */
export const requestValidator: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart = 'body' }) => {
  const place = places[httpPart] ?? httpPart
  return (given: unknown) => {
    // Fastify hands over a missing body as null.
    const value = httpPart === 'body' ? (given ?? undefined) : given
    const parsed = safeParse(schema, value)
    if (parsed.success) return { value: parsed.data }
    if (value === undefined) return { error: refusal([{ field: place, message: 'is missing' }]) }
    return { error: refusal(findingsOf(parsed.error.issues, schema, value).map((each) => told(place, each))) }
  }
}

interface Told {
  field: string
  message: string
  hint?: string
}

function told(place: string, { path, at, says, hint }: Finding): Told {
  const field = `${place}${path.length === 0 || typeof path[0] === 'number' ? '' : '.'}${formatPath(path)}`
  const message = says === unknownKey ? 'is not known here' : says
  // Hints about values speak of YAML.
  const meant = at === 'key' ? (typeof hint === 'function' ? hint() : hint) : undefined
  return { field, message, ...(meant === undefined ? {} : { hint: meant }) }
}

function refusal(problems: readonly Told[]): ErrandError {
  const [first] = problems
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''
  return new ErrandError('bad_request', `${first!.field} ${first!.message}${more}.`, {
    hint: first!.hint ?? 'The fields are described at /docs.',
    details: problems,
  })
}
