import type * as z from 'zod'
import { didYouMean } from './did-you-mean.ts'
import { valueAt } from './loose.ts'
import type { ValuePath } from './positions.ts'
import { keysAt } from './schema-keys.ts'

/** A mistake at a place of the value; `says` follows the name of what stands there. */
export interface Finding {
  path: ValuePath
  at: 'key' | 'value'
  says: string
  hint?: string | (() => string | undefined)
}
type Issue = z.core.$ZodIssue

/** What zod found, in words. `value` is what the schema was given. */
export function findingsOf(issues: readonly Issue[], schema: z.core.$ZodType, value: unknown): Finding[] {
  return issues.flatMap((issue) => findingOf(issue, schema, value))
}

function findingOf(issue: Issue, schema: z.core.$ZodType, value: unknown): Finding[] {
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
  const found = valueAt(value, path)
  const finding = (says: string, hint?: string): Finding[] => [{ path, at: 'value', says, hint }]
  if (found === undefined && path.length > 0 && issue.code !== 'unrecognized_keys')
    return finding('is missing', exampleOf(issue, path))
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        at: 'key',
        says: unknownKey,
        hint: () => keyHint(key, keysAt(schema, path)),
      }))
    case 'invalid_type':
      return finding(
        `must be ${typeName(issue.expected)}, but is ${describe(found)}`,
        typeHint(issue.expected, found),
      )
    case 'invalid_value':
      return finding(
        `must be ${oneOf(issue.values.map(quote))}, but is ${describe(found)}`,
        valueHint(issue.values, found, path),
      )
    case 'invalid_key':
      return [
        { path, at: 'key', says: `is no good key: ${issue.issues.map((inner) => inner.message).join('; ')}` },
      ]
    case 'invalid_union':
      return unionFindings(issue.errors, schema, value, path, found)
    case 'too_small':
      return finding(limit(issue.origin, issue.inclusive ? 'at least' : 'more than', Number(issue.minimum)))
    case 'too_big':
      return finding(limit(issue.origin, issue.inclusive ? 'at most' : 'less than', Number(issue.maximum)))
    case 'invalid_element':
      return finding(`has a wrong element: ${issue.issues.map((inner) => inner.message).join('; ')}`)
    case 'custom':
      return finding(`is not possible: ${issue.message}`)
    default:
      return finding(`is ${describe(found)}, but ${issue.message}`)
  }
}

/** Marks an unknown key; it is worded by where it stands. */
export const unknownKey = 'is not a key'

/** Where only one branch fits the value's type, what is wrong within it; else what the branches are. */
function unionFindings(
  branches: readonly (readonly Issue[])[],
  schema: z.core.$ZodType,
  value: unknown,
  path: ValuePath,
  found: unknown,
): Finding[] {
  const wrongType = (issue: Issue) =>
    issue.path.length === 0 &&
    (issue.code === 'invalid_type' || (issue.code === 'invalid_value' && typeof found !== 'string'))
  const fitting = branches.filter((issues) => !issues.some(wrongType))
  if (fitting.length === 1) {
    return fitting[0]!.flatMap((issue) =>
      findingOf({ ...issue, path: [...path, ...issue.path] } as Issue, schema, value),
    )
  }
  const expected = branches.flatMap((issues) => {
    const [issue] = issues
    if (issue?.code === 'invalid_type') return [typeName(issue.expected)]
    return issue?.code === 'invalid_value' ? issue.values.map(quote) : []
  })
  const says =
    expected.length === 0
      ? `fits nothing that is possible here: ${describe(found)}`
      : `must be ${oneOf([...new Set(expected)])}, but is ${describe(found)}`
  return [{ path, at: 'value', says, hint: found === null ? emptyHint : undefined }]
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

/** `text "abc"`, `the number 5`, `a list` … */
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

function typeHint(expected: string, found: unknown): string | undefined {
  if (found === null) return emptyHint
  const isText = typeof found === 'string'
  if (isText && found.includes('${') && expected !== 'string')
    return 'a variable is text; write the value itself'
  switch (expected) {
    case 'string':
      return typeof found === 'number' || typeof found === 'boolean'
        ? `put it in quotes: "${found}"`
        : undefined
    case 'array':
      return isText
        ? `write [${found.length > 40 ? '…' : found}], or each on its own line after "- "`
        : undefined
    case 'object':
    case 'record':
      return Array.isArray(found) ? 'leave out the "- " in front of the keys' : undefined
    case 'number':
    case 'int':
      if (isText && found.trim() !== '' && Number.isFinite(Number(found))) return 'leave out the quotes'
      return isText && /^\d+(\.\d+)?\s*[a-z]+$/i.test(found)
        ? 'write the number alone; a time is in seconds'
        : undefined
    case 'boolean':
      return isText ? 'write true or false, without quotes' : undefined
    default:
      return undefined
  }
}

function valueHint(values: readonly unknown[], found: unknown, path: ValuePath): string | undefined {
  if (values.length === 1) return `write ${path.at(-1)}: ${values[0]}`
  return typeof found === 'string'
    ? didYouMean(
        found,
        values.filter((value) => typeof value === 'string'),
      )
    : undefined
}

/** Keys that other systems have for what is meant. */
const otherNames: Readonly<Record<string, string>> = {
  depends_on: 'needs',
  dependencies: 'needs',
  if: 'when',
  condition: 'when',
  with: 'args',
  params: 'args',
  uses: 'action',
  hosts: 'targets',
  timeout: 'timeout_seconds',
  retries: 'retry',
  environment: 'env',
  variables: 'env',
  vars: 'env',
  parameters: 'inputs',
  after: 'needs',
  on_failure: 'finally',
  command: 'cmd',
  run: 'script',
  jobs: 'steps',
  tasks: 'steps',
}

function keyHint(key: string, allowed: readonly string[]): string | undefined {
  const other = Object.hasOwn(otherNames, key) ? otherNames[key]! : undefined
  if (other && allowed.includes(other)) return `did you mean "${other}"?`
  return didYouMean(key, allowed, allowed.length === 0 ? undefined : `possible here: ${allowed.join(', ')}`)
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
