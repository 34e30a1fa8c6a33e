import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'
import { VarName } from './variable-name.ts'

/** Where one secret of a step comes from, and how its processes get it. */
export const StepSecret = z.strictObject({
  secret: described(z.optional(VarName), "Name it is kept under at the hub; default: the variable's"),
  mounted: described(
    z.optional(
      z.string().check(z.regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'the name of a file, no path')),
    ),
    "Name of a file in the runner's folder of mounted secrets, instead of the hub's",
  ),
  as: described(
    z._default(z.enum(['env', 'file']), 'env'),
    'env: the variable is the value; file: it is the path of a private file that holds it',
  ),
})

/** `[A, B]`, or `{A: name_at_the_hub, B: {mounted: file}}`. */
export const StepSecrets = z.union([z.array(VarName), z.record(VarName, z.union([VarName, StepSecret]))])
export type StepSecrets = z.infer<typeof StepSecrets>

/** One secret that an attempt is given, by the variable it goes into. */
export const SecretUse = z.object({
  from: z.enum(['hub', 'mounted']),
  /** At the hub, or the file's in the folder of mounted secrets. */
  name: z.string(),
  as: z.enum(['env', 'file']),
})
export type SecretUse = z.infer<typeof SecretUse>

/** Written out, by variable. */
export function secretUses(secrets: StepSecrets): Record<string, SecretUse> {
  const entries = Array.isArray(secrets)
    ? secrets.map((name) => [name, name] as const)
    : Object.entries(secrets)
  return Object.fromEntries(
    entries.map(([variable, given]): [string, SecretUse] => {
      if (typeof given === 'string') return [variable, { from: 'hub', name: given, as: 'env' }]
      const { mounted, secret = variable, as } = given
      return [
        variable,
        mounted === undefined ? { from: 'hub', name: secret, as } : { from: 'mounted', name: mounted, as },
      ]
    }),
  )
}
