import { MAX_NAME, nameFault, VAR_NAME_RULE, VarName } from '../contract/names.ts'
import { parseDuration } from '../platform/time.ts'
import { UsageError } from './command.ts'

/** Returns the name that an option gives a runner, group or label. Throws a UsageError that says what is wrong. */
export function checkedName(option: string, name: string): string {
  const fault = nameFault(name, MAX_NAME)
  if (fault !== undefined)
    throw new UsageError(
      `${option} is not a valid name: ${fault}`,
      'use letters, digits and "-", as in server-01',
    )
  return name
}

/** Returns the value of an option that takes one of a few values. Throws a UsageError that names them. */
export function oneOf<T extends string>(
  option: string,
  text: string | undefined,
  values: readonly T[],
): T | undefined {
  if (text === undefined) return undefined
  const value = values.find((each) => each === text)
  if (value === undefined) throw new UsageError(`${option} is "${text}"`, `use one of ${values.join(', ')}`)
  return value
}

/** Parses the values of a repeated option, each `K=V`, split at the first `=`. Throws a UsageError. */
export function keyValues(option: string, pairs: readonly string[] = []): Record<string, string> {
  const values: Record<string, string> = {}
  for (const text of pairs) {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`${option} is "${text}"`, 'write it as NAME=value')
    const name = text.slice(0, at)
    // A JavaScript object drops this key silently.
    if (name === '__proto__') throw new UsageError(`${option} names "__proto__"`, 'choose another name')
    values[name] = text.slice(at + 1)
  }
  return values
}

/** Works like `keyValues`, and requires each name to be valid for a variable. Throws a UsageError. */
export function variableValues(option: string, pairs: readonly string[] = []): Record<string, string> {
  const values = keyValues(option, pairs)
  const wrong = Object.keys(values).find((name) => !VarName.safeParse(name).success)
  if (wrong !== undefined) throw new UsageError(`${option} names "${wrong}"`, VAR_NAME_RULE)
  return values
}

/** Reads the lifetime of a token: "15m", "1h", "7d", or whole seconds without a unit. Throws a UsageError. */
export function lifetimeSeconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(/^\d+$/.test(text) ? `${text}s` : text)
  if (ms === undefined || ms < 1000)
    throw new UsageError(`${option} is "${text}"`, 'write it as 90s, 15m, 1h or 7d')
  return Math.floor(ms / 1000)
}

/** Reads a time, in seconds, that may be zero: "0", "90s", "10m", or seconds without a unit. Throws a UsageError. */
export function waitSeconds(option: string, text: string): number {
  const ms = parseDuration(/^[\d.]+$/.test(text) ? `${text}s` : text)
  if (ms === undefined) throw new UsageError(`${option} is "${text}"`, 'write it as 0, 90s, 10m or 1h')
  return ms / 1000
}

/** Reads a whole number of at most nine digits. Throws a UsageError. */
export function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option} is "${text}"`, 'write a whole number')
  return Number(text)
}

const DAY_MS = 86_400_000
const SOON_DAYS = 14

/** Returns when a token expires, such as "in 3 days"; undefined unless that is less than 14 days away. */
export function expiresSoon(expires_at: string | undefined, nowMs = Date.now()): string | undefined {
  const days = (Date.parse(expires_at ?? '') - nowMs) / DAY_MS
  if (!(days < SOON_DAYS)) return undefined
  return days < 1 ? 'within a day' : `in ${Math.floor(days)} ${days < 2 ? 'day' : 'days'}`
}

/** Reads a date, a time (RFC 3339) or an age such as "7d", and returns it as a time in UTC. Throws a UsageError. */
export function momentOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const agoMs = parseDuration(text)
  const ms =
    agoMs === undefined
      ? /^\d{4}-\d{2}-\d{2}/.test(text)
        ? Date.parse(text)
        : Number.NaN
      : Date.now() - agoMs
  // A Date covers 8.64e15 ms to either side of 1970.
  if (Number.isNaN(new Date(ms).getTime()))
    throw new UsageError(
      `${option} is "${text}"`,
      'write it as 2026-01-31, 2026-01-31T10:00:00Z, or as an age: 12h, 7d',
    )
  return new Date(ms).toISOString()
}

/** Options of every command that talks to a hub. */
export const hubOptions = {
  url: {
    type: 'string',
    value: 'URL',
    help: `Address of the hub (default: ERRAND_URL, the saved login, or the hub on this machine)`,
  },
  token: { type: 'string', value: 'TOKEN', help: 'API token (default: ERRAND_TOKEN or the saved login)' },
} as const

/** Reads a port to listen on; 0 stands for any free one. Throws `UsageError`. */
export function portOption(text: string): number {
  const port = Number(text)
  if (text.trim() === '' || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError(`--port is "${text}"`, 'use a number from 0 to 65535')
  return port
}
