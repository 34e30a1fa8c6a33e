import { UsageError } from './command.ts'

/** Values of a repeated option, each `K=V`, split at the first `=`. */
export function keyValues(option: string, given: readonly string[] = []): Record<string, string> {
  const values: Record<string, string> = {}
  for (const text of given) {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`${option} is "${text}"`, 'write it as NAME=value')
    values[text.slice(0, at)] = text.slice(at + 1)
  }
  return values
}
