import { type SecretUse, secretMark } from '../contract/step-secrets.ts'
import { fillArgs, type Lookup } from './file/template.ts'

/**
 * The arguments of a step that has secrets: a mark where the value of one goes. No other NUL is left in them, so that
 * no variable's value can pass for a mark; `env`: the step's own variables, whose texts have marks and no other NUL.
 */
export function argsWithMarks(
  args: Readonly<Record<string, unknown>>,
  rawKeys: readonly string[],
  lookup: Lookup,
  uses: Readonly<Record<string, SecretUse>>,
  env: object = {},
): Record<string, unknown> {
  const marked: Lookup = {
    get: (name) => {
      if (Object.hasOwn(uses, name)) return secretMark(name)
      const value = lookup.get(name)
      return Object.hasOwn(env, name) ? value : value?.replaceAll('\0', '')
    },
    names: () => [...lookup.names(), ...Object.keys(uses)],
  }
  return fillArgs(withoutNuls(args) as Record<string, unknown>, rawKeys, marked)
}

function withoutNuls(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\0', '')
  if (Array.isArray(value)) return value.map(withoutNuls)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withoutNuls(inner)]))
}
