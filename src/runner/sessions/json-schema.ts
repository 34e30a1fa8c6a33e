import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { ErrorObject } from 'ajv'
import { TimeGuard } from '../../platform/time-guard.ts'

/** What is wrong with a value, by its place; empty where it fits. */
export type SchemaCheck = (value: unknown) => string[]

/** The validator takes memory: a runner without such schemas does without it. */
const load = createRequire(join(import.meta.dirname, 'json-schema.ts'))

/** How a value is checked by a JSON Schema (2020-12, or draft 7 where it says so). Throws an Error for what is none. */
export function schemaCheck({ $schema, ...schema }: Record<string, unknown>): SchemaCheck {
  const { Ajv } = load('ajv') as typeof import('ajv')
  const { Ajv2020 } = load('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')
  const { default: addFormats } = load('ajv-formats') as typeof import('ajv-formats')
  const Dialect = /draft-0\d/.test(String($schema)) ? Ajv : Ajv2020
  const ajv = new Dialect({
    allErrors: true,
    strict: false,
    logger: false,
    // 0.3 is a multiple of 0.1, whatever comes of dividing them.
    multipleOfPrecision: 9,
    code: { regExp: guardedPattern },
  })
  addFormats.default(ajv)
  const fits = ajv.compile(schema)
  return (value) => (fits(value) ? [] : (fits.errors ?? []).map(told))
}

function told({ instancePath, message, params }: ErrorObject): string {
  const place = instancePath.slice(1).replaceAll('/', '.')
  const { additionalProperty, allowedValues, allowedValue } = params
  const which = [additionalProperty, allowedValues, allowedValue].find((each) => each !== undefined)
  return `${place === '' ? '' : `at ${place}: `}${message}${which === undefined ? '' : `: ${JSON.stringify(which)}`}`
}

/** A pattern is a stranger's, and the text a model's: together they may take for ever. */
const guardedPattern = Object.assign(
  (pattern: string) => {
    const wanted = lenientPattern(pattern)
    const guard = new TimeGuard()
    // Patterns are told apart by their text.
    return { test: (text: string) => guard.run(() => wanted.test(text)), toString: () => String(wanted) }
  },
  { code: '' },
)

/** Many a pattern escapes more than may be escaped with `u`. */
function lenientPattern(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    return new RegExp(pattern)
  }
}
