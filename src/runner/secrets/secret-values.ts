import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { mountedSecret } from './mounted-secret.ts'

/** Values of the spec's secrets, by variable; `given` are those of the hub. Throws `invalid_argument` for one that is missing. */
export function secretValues(
  spec: Pick<AttemptSpec, 'secrets'>,
  given: Readonly<Record<string, string>>,
  mountedDir: string,
): Record<string, string> {
  const uses = Object.entries(spec.secrets ?? {})
  return Object.fromEntries(
    uses.map(([variable, { from, name }]) => {
      if (from === 'mounted') return [variable, withoutNul(variable, mountedSecret(mountedDir, name))]
      if (Object.hasOwn(given, variable)) return [variable, withoutNul(variable, given[variable]!)]
      throw new ErrandError('invalid_argument', `The value of the secret ${name} has not come with the step.`)
    }),
  )
}

function withoutNul(variable: string, value: string): string {
  if (!value.includes('\0')) return value
  throw new ErrandError('invalid_argument', `The secret ${variable} holds a NUL, which no variable can hold.`)
}
