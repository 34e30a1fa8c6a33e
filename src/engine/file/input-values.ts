import type { Input } from '../../contract/workflow.ts'
import { describe, oneOf } from './sentences.ts'

type Scalar = string | number | boolean

/** Returns why a value is none of this input, as it follows the input's name; undefined where it fits. */
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
