import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'
import { VarName } from './names.ts'

/** Rights of a token at its repository. */
export const ForgeRights = z.enum(['read', 'write', 'pull_request'])
export type ForgeRights = z.infer<typeof ForgeRights>

/** A token that the hub makes for one repository, when the step begins, as an App of the forge. */
export const ForgeSecret = z.strictObject({
  host: z.string().check(z.minLength(1)),
  repository: described(z.string().check(z.minLength(1)), '`owner/name`'),
  rights: ForgeRights,
})
export type ForgeSecret = z.infer<typeof ForgeSecret>

/** The source of one secret of a step, and how its processes get it. */
export const StepSecret = z.strictObject({
  secret: described(z.optional(VarName), 'Name of the secret on the hub; default: the name of the variable'),
  mounted: described(
    z.optional(
      z
        .string()
        .check(z.regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'must be the name of a file, not a path')),
    ),
    "Name of a file in the runner's folder of mounted secrets, instead of a secret of the hub",
  ),
  forge: described(
    z.optional(ForgeSecret),
    'Token that the hub creates with the App from errand.yaml; only for steps of coding tasks that access that repository',
  ),
  as: described(
    z._default(z.enum(['env', 'file', 'mask']), 'env'),
    'env: the variable holds the value; file: the variable holds the path of a private file with the value; mask: no process gets the value, and the output of the step does not show it',
  ),
})

/** Either `[A, B]`, or `{A: name_at_the_hub, B: {mounted: file}}`. */
export const StepSecrets = z.union([z.array(VarName), z.record(VarName, z.union([VarName, StepSecret]))])
export type StepSecrets = z.infer<typeof StepSecrets>

/**
 * Prefix of the names of secrets that a run brought along in its `env`, so that they hide no secret that people set.
 */
export const RUN_SECRET = 'ERRAND_ENV_'

/** A secret that an attempt is given, by the variable it goes into. */
export const SecretUse = z.object({
  from: z.enum(['hub', 'mounted']),
  /** The secret's name at the hub, or of its file in the folder of mounted secrets. */
  name: z.string(),
  /** `mask`: for the machine alone, which hides it and refuses to release a change that contains it. */
  as: z.enum(['env', 'file', 'mask']),
  /** Set when the hub makes it; `name` is then the host's. Machines treat it as any other secret of the hub. */
  forge: z.optional(ForgeSecret),
})
export type SecretUse = z.infer<typeof SecretUse>

/** Expands the secrets of a step, by variable. */
export function secretUses(secrets: StepSecrets): Record<string, SecretUse> {
  const entries = Array.isArray(secrets)
    ? secrets.map((name) => [name, name] as const)
    : Object.entries(secrets)
  return Object.fromEntries(
    entries.map(([variable, use]): [string, SecretUse] => {
      if (typeof use === 'string') return [variable, { from: 'hub', name: use, as: 'env' }]
      const { mounted, secret = variable, as, forge } = use
      if (forge !== undefined) return [variable, { from: 'hub', name: forge.host, as, forge }]
      return [
        variable,
        mounted === undefined ? { from: 'hub', name: secret, as } : { from: 'mounted', name: mounted, as },
      ]
    }),
  )
}

/** Returns the variables of the secrets that a step's processes and texts have. */
export const environmentSecrets = (uses: Readonly<Record<string, SecretUse>> = {}): string[] =>
  Object.keys(uses).filter((variable) => uses[variable]!.as !== 'mask')

/** The engine's placeholder for a secret in a text. No variable's value and no argument contains a NUL. */
export const secretMark = (variable: string): string => `\0secret:${variable}\0`

const mark = /\0secret:([A-Za-z_][A-Za-z0-9_]*)\0/g

/** Replaces the marks in every text in a value, at any depth; `values` are by variable. */
export function withSecrets<T>(value: T, values: Readonly<Record<string, string>>): T
export function withSecrets(value: unknown, values: Readonly<Record<string, string>>): unknown {
  if (typeof value === 'string')
    return value.includes('\0')
      ? value.replace(mark, (found, name: string) => (Object.hasOwn(values, name) ? values[name]! : found))
      : value
  if (Array.isArray(value)) return value.map((inner: unknown) => withSecrets(inner, values))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withSecrets(inner, values)]))
}

export const MAX_SECRET_BYTES = 64 * 1024
/** A shorter value occurs in texts by chance, so it cannot be masked. */
const MIN_MASKED_BYTES = 6

const utf8Bytes = (text: string): number => new TextEncoder().encode(text).length

/** Returns why a value cannot be a secret, without revealing it. */
export function secretFault(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'must be text'
  if (value === '') return 'must not be empty'
  if (value.includes('\0')) return 'must not contain a NUL character'
  if (!value.isWellFormed()) return 'must be text that can be encoded as UTF-8'
  const bytes = utf8Bytes(value)
  return bytes > MAX_SECRET_BYTES ? `has ${bytes} bytes; the maximum is ${MAX_SECRET_BYTES}` : undefined
}

/** Returns warnings for the person who sets the value. */
export function secretWarnings(value: string): string[] {
  if (utf8Bytes(value.trim()) >= MIN_MASKED_BYTES) return []
  return [
    `It has fewer than ${MIN_MASKED_BYTES} bytes: a value this short cannot be masked in the output of a step.`,
  ]
}

/** Returns a secret from a file or from standard input: the line break after a single line is not part of it. */
export const secretText = (text: string): string =>
  /^[^\n]*\n$/.test(text) ? text.replace(/\r?\n$/, '') : text

/** Returns the variable, among the secrets of a step, that serves only to pull or fetch a bot's image. */
export function pullSecret({ action, args }: { action: string; args: object }): string | undefined {
  if (action !== 'bot.serve') return undefined
  interface Auth {
    password_secret?: unknown
  }
  const { source } = args as { source?: { registry_auth?: Auth; git_auth?: Auth } }
  const name = (source?.registry_auth ?? source?.git_auth)?.password_secret
  return typeof name === 'string' ? name : undefined
}
