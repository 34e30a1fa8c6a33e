import { UsageError } from './command.ts'

/** Values of a repeated option, each `K=V`, split at the first `=`. */
export function keyValues(option: string, given: readonly string[] = []): Record<string, string> {
  const values: Record<string, string> = {}
  for (const text of given) {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`${option} is "${text}"`, 'write it as NAME=value')
    const name = text.slice(0, at)
    // An object of JavaScript loses it without a word.
    if (name === '__proto__') throw new UsageError(`${option} names "__proto__"`, 'choose another name')
    values[name] = text.slice(at + 1)
  }
  return values
}
