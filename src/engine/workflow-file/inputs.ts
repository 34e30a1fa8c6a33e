import { ErrandError } from '../../contract/errors.ts'
import { isCredentialName } from '../../contract/names.ts'
import type { Input, Workflow } from '../../contract/workflow.ts'
import { nearest } from './hints/did-you-mean.ts'
import { describe, firstOf, MOST_FAULTS, oneOf } from './issue-messages.ts'

type InputValues = Readonly<Record<string, string | number | boolean>>
export interface InputProblem {
  input: string
  message: string
}

/**
 * Returns the variables that a run starts with: the given values, and the defaults of the other inputs. Names that are
 * not inputs are allowed. Throws `invalid_argument` with the first mistakes (details: `InputProblem[]`).
 */
export function resolveInputs(workflow: Workflow, provided: InputValues): Record<string, string> {
  const problems = inputProblems(workflow, provided)
  if (problems.length > 0) {
    const missing = problems.find(({ input }) => !Object.hasOwn(provided, input))
    throw new ErrandError(
      'invalid_argument',
      `Workflow "${workflow.name}": ${problems.map(({ message }) => message).join('; ')}.`,
      {
        hint: missing ? `Set it, for example with --var ${missing.input}=…` : undefined,
        details: problems,
      },
    )
  }
  const values: Record<string, string> = {}
  for (const [name, input] of Object.entries(workflow.inputs ?? {})) {
    if (input.default !== undefined) values[name] = String(input.default)
  }
  for (const [name, value] of Object.entries(provided)) values[name] = String(value)
  return values
}

/** Returns the first mistakes in the values given for a workflow's inputs; `isOpen` values are not known yet. */
export function inputProblems(
  workflow: Workflow,
  values: InputValues,
  isOpen: (value: unknown) => boolean = () => false,
): InputProblem[] {
  const inputs = workflow.inputs ?? {}
  const undeclared = Object.keys(values).filter((name) => !Object.hasOwn(inputs, name))
  return firstOf(Object.entries(inputs), MOST_FAULTS, ([name, input]) => {
    if (!Object.hasOwn(values, name)) {
      if (!input.required || input.default !== undefined) return []
      const near = nearest(name, undeclared)
      return [{ input: name, message: `input ${name} is missing${near ? ` (you gave ${near})` : ''}` }]
    }
    const value = values[name]!
    const wrong = isOpen(value) ? undefined : misfit(value, input)
    return wrong ? [{ input: name, message: `input ${name} ${wrong}` }] : []
  })
}

/**
 * Returns the first mistakes in values before a run starts with them, each worded for its field. Names that are neither
 * an input nor a variable of the file count as mistakes.
 */
export function fieldProblems(
  workflow: Workflow,
  values: InputValues,
): { name: string; message: string; hint?: string }[] {
  const inputs = workflow.inputs ?? {}
  const ofInputs = firstOf(Object.entries(inputs), MOST_FAULTS, ([name, input]) => {
    const value = Object.hasOwn(values, name) ? values[name]! : undefined
    if (value === undefined) {
      const isMissing = input.required && input.default === undefined
      return isMissing ? [{ name, message: 'needs a value' }] : []
    }
    const wrong = misfit(value, input)
    return wrong === undefined ? [] : [{ name, message: wrong }]
  })
  const known = new Set([...Object.keys(inputs), ...Object.keys(workflow.env ?? {})])
  const others = firstOf(Object.keys(values), MOST_FAULTS - ofInputs.length, (name) => {
    if (known.has(name)) return []
    const message = `"${workflow.name}" has no input with this name`
    const near = nearest(name, Object.keys(inputs))
    return [{ name, message, ...(near !== undefined && { hint: `did you mean "${near}"?` }) }]
  })
  return [...ofInputs, ...others]
}

/**
 * Returns the variables that a run was given, as far as that is known: without values that come from `env` and the
 * defaults, and without credentials.
 */
export function inputValues(
  workflow: Workflow,
  vars: Readonly<Record<string, string>>,
): Record<string, string> {
  const { inputs = {}, env = {} } = workflow
  return Object.fromEntries(
    Object.entries(vars).filter(([name, value]) => {
      if (isCredentialName(name)) return false
      if (Object.hasOwn(inputs, name)) return String(inputs[name]!.default) !== value
      const own = Object.hasOwn(env, name) ? String(env[name]) : undefined
      return own === undefined || (own !== value && !own.includes('${'))
    }),
  )
}

type Scalar = string | number | boolean

/** Returns why a value does not fit this input, worded to follow the input's name; undefined when it fits. */
export function misfit(value: Scalar, input: Pick<Input, 'type' | 'enum'>): string | undefined {
  const text = String(value)
  if (input.type === 'number' && !isNumber(text)) return `must be a number, but is ${describe(value)}`
  if (input.type === 'boolean' && text !== 'true' && text !== 'false')
    return `must be true or false, but is ${describe(value)}`
  if (input.enum && !input.enum.some((choice) => String(choice) === text)) {
    return `must be ${oneOf(input.enum.map(String))}, but is ${describe(value)}`
  }
  return undefined
}

function isNumber(text: string): boolean {
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)
}

export function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
