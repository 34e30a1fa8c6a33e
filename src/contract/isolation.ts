import * as z from './mini-zod.ts'
import { described } from './mini-zod.ts'

/** How far the processes of a step stand apart from their machine, from the least to the strictest. */
export const Isolation = z.enum(['none', 'sandbox', 'container'])
export type Isolation = z.infer<typeof Isolation>

/** `name`, `*.name`, each with `:port` where it is neither 80 nor 443, and `@private` where its address is a private one. */
const HOST =
  /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?(:\d{1,5})?(@private)?$/i
export const AllowedHost = z
  .string()
  .check(z.regex(HOST, 'a host is written name, *.name, name:port or name:port@private'))

/**
 * What processes in a box reach, always by the proxy of their runner: nothing, the services of their models, these hosts and
 * the models, or every public host.
 */
export const Network = z.union([
  z.enum(['none', 'models', 'all']),
  z.strictObject({ allow: described(z.array(AllowedHost).check(z.minLength(1), z.maxLength(500)), 'Hosts') }),
])
export type Network = z.infer<typeof Network>

const ISOLATIONS = Isolation.options

/** The stricter of two; one that is not given asks for nothing. */
export function strictestIsolation(
  a: Isolation | undefined,
  b: Isolation | undefined,
): Isolation | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return ISOLATIONS[Math.max(ISOLATIONS.indexOf(a), ISOLATIONS.indexOf(b))]
}

/** What both let through; one that is not given lets all through. Hosts that only one names are not allowed. */
export function strictestNetwork(a: Network | undefined, b: Network | undefined): Network | undefined {
  if (a === undefined || b === undefined) return a ?? b
  if (a === 'none' || b === 'none') return 'none'
  if (a === 'models' || b === 'models') return 'models'
  if (a === 'all') return b
  if (b === 'all') return a
  const both = [
    ...a.allow.filter((host) => covers(b.allow, host)),
    ...b.allow.filter((host) => covers(a.allow, host)),
  ]
  return both.length === 0 ? 'models' : { allow: [...new Set(both)] }
}

/** Whether one of them lets through all that `host` does. */
const covers = (allowed: readonly string[], host: string): boolean =>
  allowed.some((each) => coversOne(each, host))

function coversOne(allowed: string, host: string): boolean {
  const [a, b] = [partsOf(allowed), partsOf(host)]
  if (a.port !== b.port || (b.isPrivate && !a.isPrivate)) return false
  if (!a.wild) return !b.wild && a.name === b.name
  return b.name.endsWith(`.${a.name}`) || (b.wild && b.name === a.name)
}

/** The parts of a host as it is written in `allow`; without a port it is 80 and 443. */
export function partsOf(host: string): { name: string; wild: boolean; port?: number; isPrivate: boolean } {
  const isPrivate = host.endsWith('@private')
  const [name = '', port] = (isPrivate ? host.slice(0, -'@private'.length) : host).toLowerCase().split(':')
  const wild = name.startsWith('*.')
  const bare = (wild ? name.slice(2) : name).replace(/\.$/, '')
  return { name: bare, wild, port: port === undefined ? undefined : Number(port), isPrivate }
}
