import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ErrandError } from '../../contract/errors.ts'
import { GitRefused } from './git-words.ts'

/** Returns the addresses of a name. */
export type Lookup = (host: string) => Promise<readonly string[]>

const LOOKUP_TIMEOUT_MS = 10_000

/** Wraps a look-up to give up after a while: silent name servers are queried for half a minute and longer. */
export const boundedLookup =
  (look: Lookup, withinMs = LOOKUP_TIMEOUT_MS): Lookup =>
  (host) =>
    new Promise((resolve, reject) => {
      const late = () => reject(new Error(`no name server answered within ${withinMs / 1000} s`))
      const timer = setTimeout(late, withinMs)
      look(host)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer))
    })

/** Looks up names as this machine does. Each look-up of a server's address uses it. */
export const systemLookup: Lookup = boundedLookup(async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address),
)

export interface ServerCheck {
  allow: Pick<AllowedOrigins, 'has'>
  /** Variable of the operator's list, for hints. */
  variable: string
  lookup: Lookup
  /** Machine whose operator that is; default runner. */
  machine?: 'hub' | 'runner'
}

/**
 * Returns the addresses of a URL's server; connect to no other, as the next look-up may give others. Throws
 * `source_refused` if one of them is not public, or belongs to this machine, and the operator has not allowed the
 * server.
 */
export async function serverAddresses(url: URL, check: ServerCheck): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const addresses = isIP(host) ? [host] : await found(host, check)
  if (check.allow.has(url)) return addresses
  const own = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? [])
  const inner = addresses.find((address) => !isPublicAddress(address) || own.includes(address))
  if (inner === undefined) return addresses
  const at = inner === host ? host : `${host} (${inner})`
  throw new ErrandError('source_refused', `${at} is not on the public internet.`, {
    hint: `The operator of the ${check.machine ?? 'runner'} can allow it: ${check.variable}=${allowEntry(url)}.`,
  })
}

/** Returns the server's name in the notation of a list of allowed servers. */
export const allowEntry = (url: URL) => (url.protocol === 'https:' ? url.host : url.origin)

async function found(
  host: string,
  { lookup: look, machine = 'runner' }: ServerCheck,
): Promise<readonly string[]> {
  const notFound = (cause = new Error('it has none')) =>
    new GitRefused('host_unreachable', `The address of ${host} cannot be found: ${cause.message}.`, {
      hint: `Check the name, and the ${machine}'s network.`,
      cause,
    })
  const addresses = await look(host).catch((cause: Error) => {
    throw notFound(cause)
  })
  if (addresses.length > 0 && addresses.every((address) => isIP(address) !== 0)) return addresses
  throw notFound()
}

/**
 * Addresses that are not on the public internet: IANA's special-purpose registry, and those on which clouds answer
 * their guests.
 */
const notPublic4 = blockList('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
])
/** Range with all of IPv6 that is public today; it excludes prefixes that map or translate IPv4. */
const public6 = blockList('ipv6', ['2000::/3'])
/** Exceptions in it: protocol assignments with Teredo, documentation, and 6to4, which contains any IPv4 address. */
const notPublic6 = blockList('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'])

/** Reports whether it is a public address; false also for invalid ones. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !notPublic4.check(address, 'ipv4')
  // A zone names a network of this machine.
  if (family !== 6 || address.includes('%')) return false
  return public6.check(address, 'ipv6') && !notPublic6.check(address, 'ipv6')
}

function blockList(family: 'ipv4' | 'ipv6', subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [net, bits] = subnet.split('/')
    list.addSubnet(net!, Number(bits), family)
  }
  return list
}

/** Servers that the operator of a runner allows, wherever they are: `host`, `host:port` or `http://host:port`. */
export class AllowedOrigins {
  readonly #origins: ReadonlySet<string>

  /** Parses the comma-separated text from `variable`. Throws `invalid_argument` for an entry that is not a server. */
  constructor(text: string, variable: string) {
    const entries = text.split(',').map((entry) => entry.trim())
    this.#origins = new Set(entries.filter((entry) => entry !== '').map((entry) => origin(entry, variable)))
  }

  /** Reports whether scheme, host and port match; the default is https and its port 443. */
  has(url: URL): boolean {
    return this.#origins.has(url.origin)
  }
}

function origin(entry: string, variable: string): string {
  const url = URL.parse(entry.includes('://') ? entry : `https://${entry}`)
  const web = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (web && !entry.includes('*') && url.href === `${url.origin}/`) return url.origin
  throw new ErrandError(
    'invalid_argument',
    `${variable} contains ${JSON.stringify(entry)}, which is not a server.`,
    {
      hint: 'Write host, host:port or http://host:port, separated by commas.',
    },
  )
}
