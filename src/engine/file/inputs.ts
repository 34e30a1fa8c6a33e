import { ErrandError } from '../../contract/errors.ts'
import type { Workflow } from '../../contract/workflow.ts'
import { nearest } from './did-you-mean.ts'
import { misfit } from './input-values.ts'

type Given = Readonly<Record<string, string | number | boolean>>
export interface InputProblem {
  input: string
  message: string
}

/**
 * The variables that a run starts with: what is given, and the defaults of inputs that are not. A name that is
 * no input is allowed. Throws `invalid_argument` with all that is wrong (details: `InputProblem[]`).
 */
export function resolveInputs(workflow: Workflow, given: Given): Record<string, string> {
  const problems = inputProblems(workflow, given)
  if (problems.length > 0) {
    const missing = problems.find(({ input }) => !Object.hasOwn(given, input))
    throw new ErrandError(
      'invalid_argument',
      `Workflow "${workflow.name}": ${problems.map(({ message }) => message).join('; ')}.`,
      {
        hint: missing ? `Give a value, such as --var ${missing.input}=…` : undefined,
        details: problems,
      },
    )
  }
  const values: Record<string, string> = {}
  for (const [name, input] of Object.entries(workflow.inputs ?? {})) {
    if (input.default !== undefined) values[name] = String(input.default)
  }
  for (const [name, value] of Object.entries(given)) values[name] = String(value)
  return values
}

/** All that is wrong with the values given for a workflow's inputs; `isOpen` values are not known yet. */
export function inputProblems(
  workflow: Workflow,
  given: Given,
  isOpen: (value: unknown) => boolean = () => false,
): InputProblem[] {
  const inputs = workflow.inputs ?? {}
  const undeclared = Object.keys(given).filter((name) => !Object.hasOwn(inputs, name))
  return Object.entries(inputs).flatMap(([name, input]) => {
    if (!Object.hasOwn(given, name)) {
      if (!input.required || input.default !== undefined) return []
      const near = nearest(name, undeclared)
      return [{ input: name, message: `input ${name} is missing${near ? ` (you gave ${near})` : ''}` }]
    }
    const value = given[name]!
    const wrong = isOpen(value) ? undefined : misfit(value, input)
    return wrong ? [{ input: name, message: `input ${name} ${wrong}` }] : []
  })
}
