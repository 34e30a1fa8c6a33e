import { readFileSync } from 'node:fs'
import { secretFault } from '../contract/secret-value.ts'
import { VarName } from '../contract/variable-name.ts'
import { UsageError } from './command.ts'
import { decodedSecret } from './secret-values.ts'

/**
 * Values of `-e`: `K=V`, `K` (from the environment), `K=@FILE`; a value that begins with `@` is written `K=@@...`. An
 * error does not tell a value.
 */
export function botVariables(given: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(given.map(botVariable))
}

function botVariable(text: string): [string, string] {
  const at = text.indexOf('=')
  const name = at < 0 ? text : text.slice(0, at)
  if (!VarName.safeParse(name).success)
    throw new UsageError(
      'a variable of -e has no good name',
      'write -e BOT_TOKEN=..., -e BOT_TOKEN (from the environment) or -e BOT_TOKEN=@FILE',
    )
  const value = at < 0 ? fromEnvironment(name) : fromText(name, text.slice(at + 1))
  const fault = secretFault(value)
  if (fault !== undefined)
    throw new UsageError(`the value of ${name} ${fault}`, `an empty one is given with --plain ${name}=`)
  return [name, value]
}

function fromEnvironment(name: string): string {
  const value = process.env[name]
  if (value !== undefined) return value
  throw new UsageError(
    `-e names ${name}, and there is no such variable in the environment`,
    `set it, or write -e ${name}=VALUE or -e ${name}=@FILE`,
  )
}

function fromText(name: string, value: string): string {
  if (value.startsWith('@@')) return value.slice(1)
  if (!value.startsWith('@')) return value
  let bytes: Uint8Array
  try {
    bytes = readFileSync(value.slice(1))
  } catch (error) {
    throw new UsageError(
      `the file of ${name} cannot be read: ${(error as Error).message}`,
      `a value that begins with "@" is written -e ${name}=@@...`,
    )
  }
  return decodedSecret(name, bytes)
}
