import { ImageName } from '../../../contract/isolation.ts'
import { isCredentialName } from '../../../contract/names.ts'
import { asMap, asText, entriesOf, own } from '../loose-values.ts'

export type Keys = Readonly<Record<string, unknown>>

/** The words to write instead of something from another system. */
export interface Instead {
  /** The keys and their values, derived from what was written. */
  write?: Keys | ((value: unknown) => Keys | undefined)
  /** The place where they belong, if that is not here. */
  at?: 'under args' | 'beside args' | 'in the step' | 'at the top level'
  say?: string
}
/** Names separated by a space, as `snake` makes them. */
export type Words = readonly (readonly [names: string, instead: Instead])[]

export const scalar = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value)

/** Returns a list of texts; a single text gives a list of one. */
export function texts(value: unknown, example: string): string[] {
  const list = (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string' && one !== '')
  return list.length > 0 ? (list as string[]) : [example]
}

/** Converts a text, number or boolean to text; anything else to an empty text. */
export const plain = (value: unknown): string => (scalar(value) ? String(value) : '')

/** Formats a value as JSON, as far as that is possible. */
export function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? '{}'
  } catch {
    return '{}'
  }
}

/** Returns those of a list of texts that are valid variable names. */
export function names(value: unknown, example: string): string[] {
  const good = texts(value, example).filter((one) => /^(?!__proto__$)[A-Za-z_]\w{0,127}$/.test(one))
  return good.length > 0 ? good : [example]
}

/** Converts `30`, `"30s"`, `"1h30m"` or `"00:30"` to seconds. */
export function seconds(value: unknown, example = 30): number {
  const text = plain(value).trim().slice(0, 40)
  const [, hours = 0, minutes, rest] = /^(?:(\d+):)?(\d+):(\d+)$/.exec(text) ?? []
  if (rest !== undefined) return bounded(Number(hours) * 3600 + Number(minutes) * 60 + Number(rest), example)
  const part = /(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|$)[a-z]*\s*/gi
  if (text.replace(part, '') !== '') return example
  const parts = [...text.matchAll(part)]
  return bounded(
    parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitSeconds[unit!.toLowerCase()]!, 0),
    example,
  )
}
const unitSeconds: Readonly<Record<string, number>> = { '': 1, ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400 }
const bounded = (value: number, example: number): number =>
  value > 0 && value <= 31_536_000 ? value : example

/** Returns a whole number from 1, below `most`. */
export function count(value: unknown, example = 3, most = 100): number {
  const number = Number(plain(value) || Number.NaN)
  return Number.isInteger(number) && number > 0 && number < most ? number : example
}

/** Makes a map of variables from a map, a list of `NAME=value`, or a list of `{name, value}`; repeats no credential. */
export function variables(value: unknown, example: Keys = { NAME: 'value' }): Keys {
  const pairs = Array.isArray(value)
    ? value.map((one): [string, unknown] => {
        const [, name = '', value = ''] = /^([^=:]*)[=:]\s*(.*)$/.exec(asText(one) ?? '') ?? []
        return asMap(one) ? [plain(own(one, 'name')), own(one, 'value')] : [name, value]
      })
    : entriesOf(value)
  const good = pairs.filter(
    ([name, value]) =>
      /^(?!__proto__$)[A-Za-z_]\w{0,127}$/.test(name) && scalar(value) && !isCredentialName(name),
  )
  return good.length > 0 ? Object.fromEntries(good) : example
}

/** Returns the action for a command of one line or many. */
export function command(value: unknown): Keys {
  const lines = asMap(value)
    ? texts(own(value, 'cmd') ?? own(value, 'run'), 'echo hello')
    : texts(value, 'echo hello')
  const text = lines.join('\n')
  return text.includes('\n')
    ? { action: 'shell.run', args: { script: text } }
    : { action: 'cmd.run', args: { cmd: text } }
}

export const example: Keys = { name: 'hello', action: 'cmd.run', args: { cmd: 'echo hello' } }
export const failed: Keys = {
  name: 'tell',
  when: '${ERRAND_RUN_STATUS} == "failed"',
  action: 'cmd.run',
  args: { cmd: 'echo "it failed"' },
}
export const timeout: Instead = { write: (value) => ({ timeout_seconds: seconds(value) }) }
export const minutes: Instead = { write: (value) => ({ timeout_seconds: 60 * count(value, 5) }) }
/** Returns the file of a sub-workflow. */
export const part = (value: unknown): string =>
  texts(value, 'part.yaml').find((path) => !path.includes('${')) ?? 'part.yaml'
export const sub = (value: unknown): Keys => ({ action: 'workflow.run', args: { file: part(value) } })
export const leave = (why: string): Instead => ({ say: `leave it out: ${why}` })

/** Makes the URL of a host agent from what is given as a host. */
export const hostUrl = (value: unknown): string => {
  const host = /^[\w.-]+(:\d+)?$/.exec(asText(value) ?? '')?.[0] ?? '10.0.0.5'
  return `http://${host}${host.includes(':') ? '' : ':7072'}`
}

/** Parses a number of cores; `500m` works too. */
export function cores(written: unknown): number {
  const [, number, milli] = /^(\d*\.?\d+)(m?)$/.exec(plain(written).slice(0, 20)) ?? []
  const value = Number(number ?? 2) / (milli ? 1000 : 1)
  return value > 0 && value <= 100_000 ? value : 2
}

/** Returns the image's name in the value, or otherwise an example. */
export function imageOf(value: unknown): string {
  const name = texts(value, 'node:22')[0]?.trim().split(/\s/)[0]
  return ImageName.safeParse(name).success ? name! : 'node:22'
}
