import * as z from '../../contract/mini-zod.ts'
import { didYouMean } from './hints/did-you-mean.ts'
import { insteadOfKey, keyHint, keysOf, placeOf, type Root, valueHint, variableHint } from './hints/hints.ts'
import { valueAt } from './loose-values.ts'
import type { ValuePath } from './positions.ts'

/** A mistake at a place of the value; `says` follows the name of what is there. */
export interface Finding {
  path: ValuePath
  at: 'key' | 'value'
  says: string
  hint?: string | (() => string | undefined)
  /** The expected kind of value, if the given one is of another kind. */
  expected?: string
}
type Issue = z.core.$ZodIssue

/** A value that is given to a schema. */
interface CheckedValue {
  schema: z.core.$ZodType
  value: unknown
  root: Root
}

/** Most mistakes that are reported of one value, body or file. */
export const MOST_FAULTS = 20
/** Most issues that are examined: one mistake may be dropped for another that says more. */
const MAX_CHECKED = 10 * MOST_FAULTS

/**
 * Returns zod's issues in words, at most `MOST_FAULTS` and one more, which means that others may be missing. `value` is
 * what the schema was given; `root` says whether it is a workflow file's or an action's.
 */
export function findingsOf(
  issues: readonly Issue[],
  schema: z.core.$ZodType,
  value: unknown,
  root: Root = '',
): Finding[] {
  const checked = { schema, value, root }
  const findings = firstOf(issues, MAX_CHECKED, (issue) => findingOf(issue, checked))
  const unknown = new Map<string, Finding[]>()
  for (const finding of findings)
    if (finding.says === unknownKey)
      unknown.set(parentOf(finding), [...(unknown.get(parentOf(finding)) ?? []).slice(0, 9), finding])
  return findings
    .filter(
      (one) =>
        one.says !== missing || !unknown.get(parentOf(one))?.some((key) => gives(key, one.path, checked)),
    )
    .slice(0, MOST_FAULTS + 1)
}

/** Does as `flatMap`, but stops after `most` results. */
export function firstOf<T, R>(from: readonly T[], most: number, each: (one: T) => readonly R[]): R[] {
  const found: R[] = []
  if (most <= 0) return found
  for (const one of from) {
    for (const result of each(one)) if (found.push(result) >= most) return found
  }
  return found
}

const parentOf = ({ path }: Finding): string => JSON.stringify(path.slice(0, -1))

/** Reports whether the hint for an unknown key says how to write what is missing beside it. */
function gives({ path: key }: Finding, path: ValuePath, { value, root }: CheckedValue): boolean {
  const inner = valueAt(value, key)
  const instead = insteadOfKey(placeOf(root, key.slice(0, -1)), String(key.at(-1)), inner)
  if (instead === undefined || instead.at !== undefined) return false
  return Object.hasOwn(keysOf(instead, inner) ?? {}, String(path.at(-1)))
}

function findingOf(issue: Issue, { schema, value, root }: CheckedValue): Finding[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
  const found = valueAt(value, path)
  const place = placeOf(root, path)
  const instead = () => valueHint(place, found, valueAt(value, path.slice(0, -1)))
  const last = root === '' ? undefined : lastHint
  const finding = (message: string, hint?: string): Finding[] => [
    { path, at: 'value', says: message, hint: hint ?? (() => instead() ?? last) },
  ]
  if (found === undefined && path.length > 0 && issue.code !== 'unrecognized_keys')
    return finding(missing, exampleOf(issue, path))
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MAX_CHECKED).map((key) => ({
        path: [...path, key],
        at: 'key',
        says: unknownKey,
        hint: () => keyHint(place, key, valueAt(value, [...path, key]), keysAt(schema, path)) ?? last,
      }))
    case 'invalid_type':
      return finding(
        `must be ${typeName(issue.expected)}, but is ${describe(found)}`,
        typeHint(issue.expected, found, instead),
      ).map((each) => ({ ...each, expected: issue.expected }))
    case 'invalid_value':
      return finding(
        `must be ${oneOf(issue.values.map(quote))}, but is ${describe(found)}`,
        choiceHint(issue.values, found, path),
      )
    case 'invalid_key':
      return [
        {
          path,
          at: 'key',
          says: `is not a valid key: ${innerMessage(issue.issues, { schema, value: path.at(-1), root })}`,
          hint: variableHint(String(path.at(-1))) ?? last,
        },
      ]
    case 'invalid_union':
      return unionFindings(issue.errors, { schema, value, root }, path, found, instead)
    case 'too_small':
      return finding(
        limit(issue.origin, issue.inclusive ? 'at least' : 'more than', Number(issue.minimum)),
        issue.origin === 'string' || issue.origin === 'array'
          ? undefined
          : `write ${path.at(-1)}: ${Math.max(1, Number(issue.minimum))}, or more`,
      )
    case 'too_big':
      return finding(
        limit(issue.origin, issue.inclusive ? 'at most' : 'less than', Number(issue.maximum)),
        issue.origin === 'string' || issue.origin === 'array'
          ? 'shorten it, or split it into several'
          : `write ${path.at(-1)}: ${Number(issue.maximum)}, or less`,
      )
    case 'invalid_element':
      return finding(`has an invalid element: ${innerMessage(issue.issues, { schema, value: found, root })}`)
    case 'custom':
      return finding(`is not valid: ${issue.message}`)
    default:
      return finding(`is ${describe(found)}, but ${issue.message}`)
  }
}

/** Describes issues whose paths begin at their subject: a key, or an element. */
const innerMessage = (issues: readonly Issue[], checked: CheckedValue): string =>
  firstOf(issues, MOST_FAULTS, (inner) => {
    if (inner.code === 'too_small' && inner.origin === 'string') return ['it is empty']
    // These have words of their own, as whole sentences.
    return inner.code === 'invalid_format' || inner.code === 'custom'
      ? [inner.message]
      : findingOf({ ...inner, path: [] } as Issue, checked).map(({ says }) => `it ${says}`)
  }).join('; ')

/** The hint when there is no better one. */
const lastHint = 'see what is allowed here: docs/workflows.md, or errand schema'

/** Marks an unknown key; its final wording depends on its place. */
export const unknownKey = 'is not a key'
const missing = 'is missing'

/**
 * Returns the mistakes within the branch when only one branch fits the value's type; otherwise describes the branches.
 */
function unionFindings(
  branches: readonly (readonly Issue[])[],
  checked: CheckedValue,
  path: ValuePath,
  found: unknown,
  instead: () => string | undefined,
): Finding[] {
  const wrongType = (issue: Issue) =>
    issue.path.length === 0 &&
    (issue.code === 'invalid_type' || (issue.code === 'invalid_value' && typeof found !== 'string'))
  const fitting = branches.filter((issues) => !issues.some(wrongType))
  if (fitting.length === 1) {
    return firstOf(fitting[0]!, MAX_CHECKED, (issue) =>
      findingOf({ ...issue, path: [...path, ...issue.path] } as Issue, checked),
    )
  }
  const expected = branches.flatMap((issues) => {
    const [issue] = issues
    if (issue?.code === 'invalid_type') return [typeName(issue.expected)]
    return issue?.code === 'invalid_value' ? issue.values.map(quote) : []
  })
  const message =
    expected.length === 0
      ? `is ${describe(found)}, which is not allowed here`
      : `must be ${oneOf([...new Set(expected)])}, but is ${describe(found)}`
  const otherwise = found === null ? emptyHint : checked.root === '' ? undefined : lastHint
  return [{ path, at: 'value', says: message, hint: () => instead() ?? otherwise }]
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys and values',
  record: 'a map of keys and values',
  null: 'empty',
}
function typeName(expected: string): string {
  return typeNames[expected] ?? expected
}

/** Describes a value: `text "abc"`, `the number 5`, `a list` … */
export function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  if (typeof value === 'string') return value === '' ? 'empty text' : `text ${quote(value)}`
  return typeof value === 'number' ? `the number ${value}` : String(value)
}

function quote(value: unknown): string {
  if (typeof value !== 'string') return String(value)
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)
}

export function oneOf(choices: readonly string[]): string {
  return choices.length <= 1
    ? (choices[0] ?? 'nothing')
    : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
}

const emptyHint = 'give it a value, or leave the key out'

function typeHint(expected: string, found: unknown, instead: () => string | undefined): string | undefined {
  const isText = typeof found === 'string'
  if (isText && found.includes('${') && expected !== 'string')
    return 'a variable is text; write the value itself'
  if (expected === 'string' && (typeof found === 'number' || typeof found === 'boolean'))
    return `put it in quotes: "${found}"`
  const known = instead()
  if (known !== undefined) return known
  if (found === null) return emptyHint
  switch (expected) {
    case 'array':
      return isText
        ? `write [${found.length > 40 ? '…' : found}], or each on its own line after "- "`
        : undefined
    case 'object':
    case 'record':
      return Array.isArray(found) ? 'remove the "- " before the keys' : undefined
    case 'number':
    case 'int':
      if (isText && found.trim() !== '' && Number.isFinite(Number(found))) return 'remove the quotes'
      return isText && /^\d+(\.\d+)?\s*[a-z]+$/i.test(found) ? 'write only the number' : undefined
    case 'boolean':
      return isText ? 'write true or false, without quotes' : 'write true or false'
    default:
      return undefined
  }
}

function choiceHint(values: readonly unknown[], found: unknown, path: ValuePath): string | undefined {
  if (values.length === 1) return `write ${path.at(-1)}: ${values[0]}`
  return typeof found === 'string'
    ? didYouMean(
        found,
        values.filter((value) => typeof value === 'string'),
      )
    : undefined
}

function exampleOf(issue: Issue, path: ValuePath): string | undefined {
  return issue.code === 'invalid_value' && issue.values.length === 1
    ? `write ${path.at(-1)}: ${String(issue.values[0])}`
    : undefined
}

function limit(origin: string, word: string, bound: number): string {
  if (origin === 'string')
    return word === 'at least' && bound === 1 ? 'must not be empty' : `must have ${word} ${bound} characters`
  if (origin === 'array' || origin === 'set')
    return word === 'at least' && bound === 1 ? 'must not be empty' : `must have ${word} ${bound} entries`
  return `must be ${word} ${bound}`
}

/**
 * Parses a stranger's value. For a wrong type, zod's own wording converts the `constructor.name` of an object without
 * the usual prototype to text, which throws when that is not text.
 */
export function safeParse<T extends z.core.$ZodType>(
  schema: T,
  value: unknown,
): z.core.util.SafeParseResult<z.output<T>> {
  try {
    return z.safeParse(schema, value, {
      error: (issue) => (issue.code === 'invalid_type' ? 'wrong type' : undefined),
    })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    // Zod passes the issues along on the call stack, which too many overflow. Its class of errors would bring all of
    // zod into each bundle.
    const issue = { code: 'custom', path: [], message: 'it has too many mistakes to list', input: value }
    return { success: false, error: { issues: [issue] } } as never
  }
}

interface Definition {
  type: string
  innerType?: z.core.$ZodType
  element?: z.core.$ZodType
  valueType?: z.core.$ZodType
  in?: z.core.$ZodType
  options?: readonly z.core.$ZodType[]
  shape?: Readonly<Record<string, z.core.$ZodType>>
}

/** Returns the keys that a schema has for the map at `path`; empty when that is not a map of fixed keys. */
function keysAt(schema: z.core.$ZodType, path: ValuePath): string[] {
  const definition = schema._zod.def as unknown as Definition
  const [first, ...rest] = path
  if (definition.innerType) return keysAt(definition.innerType, path)
  if (definition.in) return keysAt(definition.in, path)
  if (definition.options) return definition.options.flatMap((option) => keysAt(option, path))
  if (definition.shape) {
    if (first === undefined) return Object.keys(definition.shape)
    const inner = Object.hasOwn(definition.shape, first) ? definition.shape[first] : undefined
    return inner ? keysAt(inner, rest) : []
  }
  const inner = definition.element ?? definition.valueType
  return inner && first !== undefined ? keysAt(inner, rest) : []
}

/** Returns the examples that a schema has for the value at `path`; empty when it has none. */
export function examplesAt(schema: z.core.$ZodType, path: ValuePath): readonly unknown[] {
  const definition = schema._zod.def as unknown as Definition
  const [first, ...rest] = path
  const { examples } = (z.globalRegistry.get(schema) ?? {}) as { examples?: readonly unknown[] }
  if (path.length === 0 && examples !== undefined) return examples
  const inner = definition.innerType ?? definition.in
  if (inner) return examplesAt(inner, path)
  if (first === undefined) return []
  const next = definition.shape ? definition.shape[first] : (definition.element ?? definition.valueType)
  return next ? examplesAt(next, rest) : []
}
