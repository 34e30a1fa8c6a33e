import { UsageError } from './command.ts'

/** The value of an option that takes few. Throws a UsageError that names them. */
export function oneOf<T extends string>(
  option: string,
  given: string | undefined,
  values: readonly T[],
): T | undefined {
  if (given === undefined) return undefined
  const value = values.find((each) => each === given)
  if (value === undefined)
    throw new UsageError(`${option} is "${given}"`, `it is one of ${values.join(', ')}`)
  return value
}
