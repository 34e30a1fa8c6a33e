import { MAX_NAME, nameFault, VAR_NAME_RULE, VarName } from '../contract/names.ts'
import { parseDuration } from '../platform/time.ts'
import { UsageError } from './command.ts'

/** The name that an option gives a runner, a group or a label. Throws a UsageError that says what is wrong with it. */
export function givenName(option: string, name: string): string {
  const fault = nameFault(name, MAX_NAME)
  if (fault !== undefined)
    throw new UsageError(
      `${option} is no name: ${fault}`,
      'write it in letters, digits and "-", such as server-01',
    )
  return name
}

/** The value of an option that takes few. Throws a UsageError that names them. */
export function oneOf<T extends string>(
  option: string,
  given: string | undefined,
  values: readonly T[],
): T | undefined {
  if (given === undefined) return undefined
  const value = values.find((each) => each === given)
  if (value === undefined)
    throw new UsageError(`${option} is "${given}"`, `it is one of ${values.join(', ')}`)
  return value
}

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

/** The same, where each name is to be a variable's. Throws a UsageError. */
export function variableValues(option: string, given: readonly string[] = []): Record<string, string> {
  const values = keyValues(option, given)
  const wrong = Object.keys(values).find((name) => !VarName.safeParse(name).success)
  if (wrong !== undefined) throw new UsageError(`${option} names "${wrong}"`, VAR_NAME_RULE)
  return values
}

/** How long a token is good: "15m", "1h", "7d", or whole seconds without a unit. Throws a UsageError. */
export function lifetimeSeconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(/^\d+$/.test(text) ? `${text}s` : text)
  if (ms === undefined || ms < 1000)
    throw new UsageError(`${option} is "${text}"`, 'write it as 90s, 15m, 1h or 7d')
  return Math.floor(ms / 1000)
}

/** A time that may be none: "0", "90s", "10m", or seconds without a unit. Throws a UsageError. */
export function waitSeconds(option: string, text: string): number {
  const ms = parseDuration(/^[\d.]+$/.test(text) ? `${text}s` : text)
  if (ms === undefined) throw new UsageError(`${option} is "${text}"`, 'write it as 0, 90s, 10m or 1h')
  return ms / 1000
}

/** Throws a UsageError. */
export function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option} is "${text}"`, 'write a whole number')
  return Number(text)
}

const DAY_MS = 86_400_000
const SOON_DAYS = 14

/** Says in how many days a token expires, where that is soon: "in 3 days". */
export function expiresSoon(expires_at: string | undefined, nowMs = Date.now()): string | undefined {
  const days = (Date.parse(expires_at ?? '') - nowMs) / DAY_MS
  if (!(days < SOON_DAYS)) return undefined
  return days < 1 ? 'within a day' : `in ${Math.floor(days)} ${days < 2 ? 'day' : 'days'}`
}

/** A date, a time (RFC 3339), or how long ago: as a time in UTC. Throws a UsageError. */
export function momentOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const agoMs = parseDuration(text)
  const ms =
    agoMs === undefined
      ? /^\d{4}-\d{2}-\d{2}/.test(text)
        ? Date.parse(text)
        : Number.NaN
      : Date.now() - agoMs
  // A Date reaches 8.64e15 ms to either side.
  if (Number.isNaN(new Date(ms).getTime()))
    throw new UsageError(
      `${option} is "${text}"`,
      'write it as 2026-01-31, 2026-01-31T10:00:00Z, or as how long ago: 12h, 7d',
    )
  return new Date(ms).toISOString()
}

/** Options of every command that talks to a hub. */
export const hubOptions = {
  url: {
    type: 'string',
    value: 'URL',
    help: `The hub (default: ERRAND_URL, the login, the hub of this machine)`,
  },
  token: { type: 'string', value: 'TOKEN', help: 'API token (default: ERRAND_TOKEN, the login)' },
} as const

/** A port that was given to listen at; 0 stands for any. Throws `UsageError`. */
export function portOption(text: string): number {
  const port = Number(text)
  if (text.trim() === '' || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UsageError(`--port is "${text}"`, 'it is a number up to 65535')
  return port
}
