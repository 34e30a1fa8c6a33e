import { isIP, isIPv4, SocketAddress } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type Network, partsOf, type Refusal } from '../../contract/isolation.ts'
import { isPublicAddress } from '../git/server-addresses.ts'

/**
 * Destination of a request. The host is in lower case, without a trailing dot or brackets; an address is in its single
 * shortest form.
 */
export interface Target {
  host: string
  port: number
}

const NAME = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i
const AUTHORITY = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::(\d{1,5}))?$/i
/**
 * Matches digits, or a part that begins with 0x, at the end: resolvers read such a name as an IPv4 address, in many
 * forms.
 */
const NUMBER_AT_END = /(^|\.)(\d+|0x[0-9a-f]*)\.?$/i
const MOST_NAME_BYTES = 253
const MOST_LABELS = 10

/** Parses `host:port`. Returns the reason if it is not a valid target: user names, zones, numbers as names. */
export function parseTarget(authority: string, defaultPort?: number): Target | Refusal {
  const [, v6, name, digits] = AUTHORITY.exec(authority) ?? []
  const port = digits === undefined ? defaultPort : Number(digits)
  if (port === undefined || port < 1 || port > 65_535) return 'bad_request'
  if (v6 !== undefined) return isIP(v6) === 6 ? { host: shortest(v6), port } : 'odd_address'
  if (name === undefined) return 'bad_request'
  if (isIPv4(name)) return { host: name, port }
  if (!NAME.test(name) || name.length > MOST_NAME_BYTES || NUMBER_AT_END.test(name)) return 'odd_address'
  return { host: name.toLowerCase().replace(/\.$/, ''), port }
}

/** Returns the shortest spelling: addresses are compared as text, those of this machine among them. */
const shortest = (v6: string): string => new SocketAddress({ address: v6, family: 'ipv6' }).address

/**
 * Says how far a target is allowed: a public address, or a private one too. `anything`: its port was named, so it may
 * carry more than TLS.
 */
export interface Allowance {
  isPrivate: boolean
  anything: boolean
}

const WEB = [80, 443]
/** Ports of every host: the web, and SSH, which Git uses. */
const PORTS_OF_ALL = [...WEB, 22]

export function allowance(network: Network, { host, port }: Target): Allowance | Refusal {
  if (network === 'none' || network === 'models') return 'host_not_allowed'
  if (network === 'all') {
    if (!PORTS_OF_ALL.includes(port)) return 'port_not_allowed'
    return { isPrivate: false, anything: !WEB.includes(port) }
  }
  const ofHost = network.allow
    .map(partsOf)
    .filter(({ name, wild }) => (wild ? isIP(host) === 0 && host.endsWith(`.${name}`) : host === name))
  const rules = ofHost.filter((rule) => (rule.port === undefined ? WEB.includes(port) : rule.port === port))
  if (rules.length === 0) return ofHost.length === 0 ? 'host_not_allowed' : 'port_not_allowed'
  // Names alone are a way out of a box if everything below one is looked up.
  if (rules.every(({ wild }) => wild) && host.split('.').length > MOST_LABELS) return 'odd_name'
  return {
    isPrivate: rules.some(({ isPrivate }) => isPrivate),
    anything: rules.some((rule) => rule.port !== undefined),
  }
}

/** Networks that an operator may open with `@private`; the metadata services of clouds within them stay closed. */
const PRIVATE_4 = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/
const PRIVATE_6 = /^f[cd][0-9a-f]{2}:/i
const METADATA = [/^100\.100\.100\.200$/, /^fd00:0*ec2:/i, /^fd20:0*ce:/i]

/** Returns why no connection to that address is made; undefined if it is allowed. */
export function refusedAddress(
  address: string,
  { isPrivate }: Pick<Allowance, 'isPrivate'>,
): Refusal | undefined {
  if (isPublicAddress(address)) return ownAddresses().includes(address) ? 'own_address' : undefined
  const opened =
    isPrivate &&
    !address.includes('%') &&
    (isIPv4(address) ? PRIVATE_4 : PRIVATE_6).test(address) &&
    !METADATA.some((each) => each.test(address))
  return opened ? undefined : 'private_address'
}

const OWN_FOR_MS = 1_000
let own: { addresses: readonly string[]; atMs: number } | undefined
/** A name may have hundreds of addresses, and a machine hundreds of networks. */
function ownAddresses(): readonly string[] {
  if (own === undefined || performance.now() - own.atMs > OWN_FOR_MS) {
    const addresses = Object.values(networkInterfaces()).flatMap(
      (each) => each?.map(({ address }) => address) ?? [],
    )
    own = { addresses, atMs: performance.now() }
  }
  return own.addresses
}

/** Looks up the addresses of a name. Throws if there are none. */
export type Lookup = (host: string) => Promise<readonly string[]>

const LOOKUP_CACHE_MS = 60_000

/** Blocks places that no rule opens: the hub, and others that the runner names, as `host` or `host:port`. */
export class ClosedPlaces {
  readonly #lookup: Lookup
  readonly #known = new Map<string, { addresses: readonly string[]; atMs: number }>()

  constructor(lookup: Lookup) {
    this.#lookup = lookup
  }

  /**
   * Reports whether one of the addresses, at that port, belongs to such a place. A place on this machine counts at all
   * of the machine's addresses.
   */
  async has(
    places: readonly string[],
    { host, port }: Target,
    addresses: readonly string[],
  ): Promise<boolean> {
    for (const place of places) {
      const closed = parseTarget(place, port)
      if (typeof closed === 'string' || closed.port !== port) continue
      if (closed.host === host) return true
      const those = await this.#addresses(closed.host)
      const here = those.some((each) => /^(127\.|0\.|::1?$)/.test(each)) ? ownAddresses() : []
      if (addresses.some((each) => those.includes(each) || here.includes(each))) return true
    }
    return false
  }

  async #addresses(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host]
    const known = this.#known.get(host)
    if (known !== undefined && performance.now() - known.atMs < LOOKUP_CACHE_MS) return known.addresses
    const addresses = await this.#lookup(host).catch(() => known?.addresses ?? [])
    this.#known.set(host, { addresses, atMs: performance.now() })
    return addresses
  }
}
