import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { ErrorObject } from 'ajv'
import { ErrandError } from '../../contract/errors.ts'
import { isNestedDeeper, TimeGuard } from '../../platform/untrusted-input.ts'

export type AnswerValue = { json: string } | { wrong: string }

/** Limit for listed problems, so that one mistake does not fill the next prompt and the run's end. */
const MOST_PROBLEMS = 20
/**
 * Limit for the depth of a value: a deeper one can be read, but traversing it to hide secrets might overflow the stack.
 */
const MOST_DEEP = 1_000

/** Finds a value in an answer and checks it against a JSON Schema. Throws `invalid_argument` for an invalid schema. */
export function answerValue(schema: Record<string, unknown>): (answer: string) => AnswerValue {
  let check: SchemaCheck
  try {
    check = schemaCheck(schema)
  } catch (cause) {
    throw new ErrandError(
      'invalid_argument',
      `args.output_schema cannot be used: ${(cause as Error).message}.`,
      { cause },
    )
  }
  return (answer) => {
    const found = lastJson(answer)
    if (found === undefined) return { wrong: 'the answer contains no JSON value' }
    try {
      if (isNestedDeeper(found.value, MOST_DEEP))
        throw new Error(`it is nested more than ${MOST_DEEP} lists or objects deep`)
      const problems = check(found.value)
      if (problems.length === 0) return { json: JSON.stringify(found.value) }
      const more = problems.length - MOST_PROBLEMS
      return { wrong: problems.slice(0, MOST_PROBLEMS).join('; ') + (more > 0 ? `; and ${more} more` : '') }
    } catch (error) {
      // For example a value of 100,000 nested lists, or a pattern that takes too long.
      return { wrong: `it could not be checked: ${(error as Error).message}` }
    }
  }
}

/** Returns the text added after the prompt, which tells the agent what value is wanted. */
export const expectedValue = (schema: Record<string, unknown>): string =>
  `\n\nEnd your last message with one JSON value, in a \`\`\`json block, that fits this JSON Schema:\n${JSON.stringify(schema)}`

export const valueWrong = (wrong: string, schema: Record<string, unknown>): string =>
  `The JSON value at the end of your last message does not fit: ${wrong}.${expectedValue(schema)}`

/** Returns the whole text, the last fenced block that is JSON, or the last object or list in the text. */
function lastJson(text: string): { value: unknown } | undefined {
  const whole = parsed(text)
  if (whole) return whole
  for (const block of fenced(text).reverse()) {
    const value = parsed(block)
    if (value) return value
  }
  return lastBraced(text)
}

/** Returns the texts between a line that ends with three backticks (and a word) and a line that begins with them. */
function fenced(text: string): string[] {
  const blocks: string[] = []
  let block: string[] | undefined
  for (const line of text.split('\n')) {
    if (block && /^[ \t]*```/.test(line)) {
      blocks.push(block.join('\n'))
      block = undefined
    } else if (block) block.push(line)
    else if (/```[\w-]*[ \t]*\r?$/.test(line)) block = []
  }
  return blocks
}

/** Limit for the ends of an object or list that are tried, starting with the last. */
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
    // The longest is the whole value; the others are parts of it.
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

/** Returns the problems of a value, with their places; empty if it fits. */
type SchemaCheck = (value: unknown) => string[]

/** The validator takes memory, so a runner without such schemas does not load it. */
const load = createRequire(join(import.meta.dirname, 'answer-value.ts'))

/**
 * Compiles a check against a JSON Schema (2020-12, or draft 7 if the schema says so). Throws an Error for an invalid
 * schema.
 */
export function schemaCheck({ $schema, ...schema }: Record<string, unknown>): SchemaCheck {
  const { Ajv } = load('ajv') as typeof import('ajv')
  const { Ajv2020 } = load('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')
  const { default: addFormats } = load('ajv-formats') as typeof import('ajv-formats')
  const Dialect = /draft-0\d/.test(String($schema)) ? Ajv : Ajv2020
  const ajv = new Dialect({
    allErrors: true,
    strict: false,
    logger: false,
    // 0.3 counts as a multiple of 0.1, whatever the division gives.
    multipleOfPrecision: 9,
    code: { regExp: guardedPattern },
  })
  addFormats.default(ajv)
  const fits = ajv.compile(schema)
  return (value) => (fits(value) ? [] : (fits.errors ?? []).map(describe))
}

function describe({ instancePath, message, params }: ErrorObject): string {
  const place = instancePath.slice(1).replaceAll('/', '.')
  const { additionalProperty, allowedValues, allowedValue } = params
  const which = [additionalProperty, allowedValues, allowedValue].find((each) => each !== undefined)
  return `${place === '' ? '' : `at ${place}: `}${message}${which === undefined ? '' : `: ${JSON.stringify(which)}`}`
}

/**
 * Compiles a pattern with a time limit: it comes from a stranger, the text from a model, and together they may run
 * forever.
 */
const guardedPattern = Object.assign(
  (pattern: string) => {
    const expression = lenientPattern(pattern)
    const guard = new TimeGuard()
    // The validator distinguishes patterns by their text.
    return {
      test: (text: string) => guard.run(() => expression.test(text)),
      toString: () => String(expression),
    }
  },
  { code: '' },
)

/** Compiles a pattern; many patterns escape more than the flag `u` permits. */
function lenientPattern(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    return new RegExp(pattern)
  }
}
