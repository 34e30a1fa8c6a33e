import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { VAR_NAME_RULE, VarName } from '../contract/names.ts'
import { secretFault, secretText, secretWarnings } from '../contract/step-secrets.ts'
import { UsageError } from './command.ts'

/**
 * Returns the values of `--secret`: `NAME`, `NAME=@FILE` or `NAME=value`. `NAME` is taken out of the environment, so
 * that steps do not see it there. Warns on stderr about a value that is too short to be masked.
 */
export function secretValues(names: readonly string[] = []): Record<string, string> {
  const values: Record<string, string> = {}
  for (const text of names) {
    const { name, value } = secretArgument(text)
    const found = value ?? process.env[name]
    if (found === undefined)
      throw new UsageError(
        `--secret names ${name}, but the environment has no such variable`,
        `set it, or write --secret ${name}=@FILE`,
      )
    values[name] = checkedSecret(name, found)
    delete process.env[name]
  }
  return values
}

/** Returns the names of `--secret`. With `hub` they name secrets of the hub, and a value is refused. */
export function secretNames(values: readonly string[] | undefined, hub = false): string[] | undefined {
  return values?.map((text) => {
    const { name, value } = secretArgument(text)
    if (hub && value !== undefined)
      throw new UsageError(
        `--secret gives a value for ${name}, but with --hub the secrets come from the hub`,
        `store it there with: errand secrets set ${name}`,
      )
    return name
  })
}

/** Parses `NAME`, `NAME=@FILE` or `NAME=value`; `typed`: the value itself was typed. Throws a UsageError. */
export function secretArgument(text: string): { name: string; value?: string; typed?: boolean } {
  const at = text.indexOf('=')
  const name = at < 0 ? text : text.slice(0, at)
  const known = VarName.safeParse(name)
  // The message does not show it: it may be the value, typed by mistake.
  if (!known.success) throw new UsageError('a secret has no valid name', `write NAME=@FILE; ${VAR_NAME_RULE}`)
  if (at < 0) return { name }
  const value = text.slice(at + 1)
  return value.startsWith('@') ? { name, value: textIn(name, value.slice(1)) } : { name, value, typed: true }
}

/** Returns a value that can be a secret, or throws a `UsageError` that does not show it. Warns about a short one. */
export function checkedSecret(name: string, value: string): string {
  const fault = secretFault(value)
  if (fault !== undefined)
    throw new UsageError(
      `the value of ${name} ${fault}`,
      'a value is text of 1 byte to 64 KiB; encode other bytes in base64',
    )
  for (const warning of secretWarnings(value)) process.stderr.write(`warning: ${name}: ${warning}\n`)
  return value
}

/** Decodes the bytes of a file or of standard input as a secret. Throws a `UsageError`. */
export function decodedSecret(name: string, bytes: Uint8Array): string {
  try {
    return secretText(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    throw new UsageError(`the value of ${name} is not UTF-8 text`, 'encode it, for example in base64')
  }
}

function textIn(name: string, file: string): string {
  try {
    return decodedSecret(name, readFileSync(file))
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(
      `the file of ${name} cannot be read: ${(error as Error).message}`,
      `write ${name}=@PATH; relative paths start at ${process.cwd()}`,
    )
  }
}

/** Reads a secret: a line that the terminal does not show, or all of standard input if `fromStdin`. */
export async function askSecret(
  what: string,
  fromStdin: boolean,
  stdinOption = '--password-stdin',
): Promise<string> {
  if (!fromStdin && !process.stdin.isTTY) {
    throw new UsageError(
      `cannot ask for "${what}": there is no terminal`,
      `pass it on standard input with ${stdinOption}`,
    )
  }
  if (fromStdin) {
    let text = ''
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
    return text.replace(/\r?\n$/, '')
  }
  process.stderr.write(`${what}: `)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  try {
    const interrupted = new AbortController()
    terminal.once('SIGINT', () => interrupted.abort(nothing(stdinOption)))
    return await terminal.question('', { signal: interrupted.signal })
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? nothing(stdinOption) : error
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}

const nothing = (stdinOption: string): UsageError =>
  new UsageError('nothing was entered', `type it, or pass it on standard input with ${stdinOption}`)
