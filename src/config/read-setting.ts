import { parseBytes, parseMachineBytes } from '../contract/amounts.ts'
import { ErrandError } from '../contract/errors.ts'
import { readNetwork } from '../contract/isolation.ts'
import { MAX_NAME, nameFault } from '../contract/names.ts'
import { parseDuration } from '../platform/time.ts'
import type { Setting } from './setting.ts'
import { namesOf, type SettingKey, settings } from './settings.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** A value and its source: the name of a variable, of an old variable or of an option. */
export interface SettingValue {
  name: string
  value: string
}

/** Each reader returns undefined for an invalid value, or throws an error of its own. */
const readers = {
  text: ({ value }) => value,
  name: checkedName,
  list: ({ value }) => listed(value),
  choice: ({ value }, { choices = [] }) => (choices.includes(value) ? value : undefined),
  number: ({ value }, setting) => within(Number(value), setting),
  whole: ({ value }, setting) =>
    Number.isInteger(Number(value)) ? within(Number(value), setting) : undefined,
  count: ({ value }, setting) => (/^[1-9]\d*$/.test(value) ? within(Number(value), setting) : undefined),
  size: ({ value }) => parseBytes(value),
  machine_size: ({ value }) => parseMachineBytes(value),
  size_or_none: ({ value }) => (value === '0' ? 0 : parseBytes(value)),
  /** Infinity: no limit. */
  output_size: ({ value }) => (value === 'none' ? Number.POSITIVE_INFINITY : parseMachineBytes(value)),
  /** Seconds; Infinity: without end. */
  hours: ({ value }) =>
    value.toLowerCase() === 'unlimited'
      ? Number.POSITIVE_INFINITY
      : scaled(within(Number(value), { above: 0, to: 8_760 }), 3600),
  /** Milliseconds. */
  duration: ({ value }, setting) => within(parseDuration(value) ?? Number.NaN, setting),
  /** Milliseconds; Infinity: for ever. */
  retention: ({ value }) =>
    value === '0' || value === 'forever'
      ? Number.POSITIVE_INFINITY
      : within(parseDuration(value) ?? Number.NaN, { above: 0 }),
  own_token: checkedToken,
  network: ({ value }) => readNetwork(value),
  /** Paths, each with whether it is writable. */
  mounts: ({ value }) => {
    const mounts = listed(value).map((each) => ({
      path: each.replace(/=(rw|ro)$/, ''),
      writable: each.endsWith('=rw'),
    }))
    return mounts.every(({ path }) => path.startsWith('/') && !path.includes('\0')) ? mounts : undefined
  },
  hub_url: ({ value }) =>
    URL.canParse(value) && /^(https?|wss?):$/.test(new URL(value).protocol) ? value : undefined,
  /** Removes the last slash; empty: none. */
  path_prefix: ({ value }) => {
    const path = value.replace(/\/+$/, '')
    return /^(\/[A-Za-z0-9._~-]+)*$/.test(path) && !/\/\.\.?(\/|$)/.test(path) ? path : undefined
  },
} satisfies Record<Setting['type'], (found: SettingValue, setting: Setting) => unknown>

function listed(value: string): string[] {
  return value
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
}

type Row<K extends SettingKey> = (typeof settings)[K]
type Read<K extends SettingKey> =
  Row<K> extends { choices: readonly (infer C)[] }
    ? C
    : NonNullable<ReturnType<(typeof readers)[Row<K>['type']]>>
type Default<K extends SettingKey> = Row<K> extends { default: string } ? never : undefined

/** Finds the variable's value: its own name comes before its old ones, and an empty value counts as not set. */
export function findSetting(env: Env, key: SettingKey): SettingValue | undefined {
  for (const name of namesOf(key)) {
    const value = env[name]
    if (value !== undefined && value !== '') return { name, value }
  }
  return undefined
}

/** Returns the effective text: the variable's, or its default. */
export function settingText<K extends SettingKey>(env: Env, key: K): string | Default<K> {
  return (findSetting(env, key)?.value ?? (settings[key] as Setting).default) as string | Default<K>
}

/**
 * Returns the value, or its default. Throws `invalid_argument` (`bad_request` for some) that names the variable when
 * the value is invalid.
 */
export function setting<K extends SettingKey>(env: Env, key: K): Read<K> | Default<K> {
  const { default: otherwise } = settings[key] as Setting
  const found =
    findSetting(env, key) ?? (otherwise === undefined ? undefined : { name: key, value: otherwise })
  return (found && readSetting(key, found)) as Read<K> | Default<K>
}

/** Parses a value of the setting from another source, such as an option, which an error then names. */
export function readSetting<K extends SettingKey>(key: K, found: SettingValue): Read<K> {
  const row = settings[key] as Setting
  const lower = key === 'ERRAND_LOG_LEVEL' ? { ...found, value: found.value.toLowerCase() } : found
  const value = readers[row.type](lower, row)
  if (value === undefined) throw refusal(row, lower)
  return value as Read<K>
}

function refusal({ hint, choices, refused }: Setting, { name, value }: SettingValue): ErrandError {
  const options = { hint: hint ?? `Use one of: ${choices!.join(', ')}.` }
  if (refused === 'usage')
    return new ErrandError('bad_request', `${name} is "${value}", which is not valid`, options)
  if (refused === 'unusable')
    return new ErrandError(
      'invalid_argument',
      `${name} is ${JSON.stringify(value)}, which is not valid.`,
      options,
    )
  return new ErrandError('invalid_argument', `${name} is "${value}", which is not valid.`, options)
}

function within(
  number: number,
  { from, above, to, below }: Pick<Setting, 'from' | 'above' | 'to' | 'below'>,
): number | undefined {
  const isBelow = (to === undefined || number <= to) && (below === undefined || number < below)
  const isAbove = (from === undefined || number >= from) && (above === undefined || number > above)
  return !Number.isNaN(number) && isBelow && isAbove ? number : undefined
}

const scaled = (number: number | undefined, by: number): number | undefined => number && number * by

function checkedName({ name, value }: SettingValue): string {
  const fault = nameFault(value, MAX_NAME)
  if (fault === undefined) return value
  throw new ErrandError('invalid_argument', `${name} is not a valid name: ${fault}.`, {
    hint: 'Use letters, digits and "-", such as server-01.',
  })
}

/** An error does not show an invalid token. */
function checkedToken({ name, value }: SettingValue): string {
  if (/^[\x21-\x7e]{16,512}$/.test(value)) return value
  throw new ErrandError('invalid_argument', `${name} is not a valid token.`, {
    hint: 'A token has 16 to 512 characters and no blanks. Generate one with: openssl rand -hex 32',
  })
}
