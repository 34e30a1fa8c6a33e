import { MAX_NAME, nameFault } from '../contract/name-fault.ts'
import { UsageError } from './command.ts'

/** The name that an option gives a runner, a group or a label. Throws a UsageError that says what is wrong with it. */
export function givenName(option: string, name: string): string {
  const fault = nameFault(name, MAX_NAME)
  if (fault !== undefined)
    throw new UsageError(
      `${option} is no name: ${fault}`,
      'write it in letters, digits and "-", such as server-01',
    )
  return name
}
