import * as z from 'zod'
import { TimeGuard } from '../../../agents/builtin/tools/time-guard.ts'
import { type Check, canonical, forType, isObject, type Json, list, must, told } from './check.ts'

const isText = (value: unknown): value is string => typeof value === 'string'
const isNumber = (value: unknown): value is number => typeof value === 'number'

const types: Record<string, (value: unknown) => boolean> = {
  string: isText,
  number: isNumber,
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  array: Array.isArray,
  object: isObject,
}

/** What a limit holds to, of a value of its type, and the words for a number of it. */
const sizes: Record<string, [is: (value: unknown) => boolean, size: (value: never) => number, of: string]> = {
  Length: [isText, (text: string) => [...text].length, 'characters'],
  Items: [Array.isArray, (items: unknown[]) => items.length, 'items'],
  Properties: [isObject, (value: Json) => Object.keys(value).length, 'names'],
}

/** Keywords that look at the value alone. Each throws an Error for what it cannot be given. */
export const assertions: Record<string, (given: unknown) => Check> = {
  type: (given) => {
    const names = (Array.isArray(given) ? given : [given]).map(String)
    const unknown = names.find((name) => !Object.hasOwn(types, name))
    if (unknown !== undefined) throw new Error(`there is no type "${unknown}"`)
    return must((value) => names.some((name) => types[name]!(value)), `expected ${names.join(' or ')}`)
  },
  const: (given) => must((value) => canonical(value) === canonical(given), `expected ${canonical(given)}`),
  enum: (given) => {
    const known = new Set(list(given).map(canonical))
    return must((value) => known.has(canonical(value)), `expected one of ${[...known].join(', ')}`)
  },
  pattern: (given) => {
    const fits = matcher(given)
    return ofType(isText, fits, `expected what fits ${given}`)
  },
  format: (given) => {
    const format = z.fromJSONSchema({ type: 'string', format: String(given) })
    return ofType(isText, (text) => format.safeParse(text).success, `expected a text of the format ${given}`)
  },
  uniqueItems: (given) => (value, at) => {
    const same = given === true && Array.isArray(value) && new Set(value.map(canonical)).size < value.length
    return same ? [told(at, 'expected items that differ')] : []
  },
  minimum: (given) => limit(given, (value, n) => value >= n, `expected ${given} or more`),
  maximum: (given) => limit(given, (value, n) => value <= n, `expected ${given} at most`),
  exclusiveMinimum: (given) => limit(given, (value, n) => value > n, `expected more than ${given}`),
  exclusiveMaximum: (given) => limit(given, (value, n) => value < n, `expected less than ${given}`),
  multipleOf: (given) => limit(given, isMultiple, `expected a multiple of ${given}`),
  ...Object.fromEntries(
    Object.entries(sizes).flatMap(([name, [is, size, of]]) => [
      [`min${name}`, (given: unknown) => sized(is, size, given, (n, least) => n >= least, `or more ${of}`)],
      [`max${name}`, (given: unknown) => sized(is, size, given, (n, most) => n <= most, `${of} at most`)],
    ]),
  ),
}

/** A pattern is a stranger's, and the text a model's: together they may take for ever. */
export function matcher(pattern: unknown): (text: string) => boolean {
  const wanted = regExp(String(pattern))
  const guard = new TimeGuard()
  return (text) => guard.run(() => wanted.test(text))
}

/** Many a pattern escapes more than may be escaped with `u`. */
function regExp(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u')
  } catch {
    return new RegExp(pattern)
  }
}

export function number(given: unknown): number {
  if (isNumber(given)) return given
  throw new Error(`${JSON.stringify(given)} stands where a number has to`)
}

function ofType<T>(
  is: (value: unknown) => value is T,
  fits: (value: T) => boolean,
  otherwise: string,
): Check {
  return forType(is, (value, at) => (fits(value) ? [] : [told(at, otherwise)]))
}

function limit(given: unknown, fits: (value: number, n: number) => boolean, otherwise: string): Check {
  const n = number(given)
  return ofType(isNumber, (value) => fits(value, n), otherwise)
}

function sized(
  is: (value: unknown) => boolean,
  size: (value: never) => number,
  given: unknown,
  fits: (size: number, n: number) => boolean,
  words: string,
): Check {
  const n = number(given)
  return must((value) => !is(value) || fits(size(value as never), n), `expected ${n} ${words}`)
}

/** 0.3 is a multiple of 0.1, whatever comes of dividing them. */
function isMultiple(value: number, n: number): boolean {
  const times = value / n
  return Math.abs(times - Math.round(times)) <= Number.EPSILON * Math.max(1, Math.abs(times))
}
