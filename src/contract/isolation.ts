import { ErrandError } from './errors.ts'
import * as z from './mini-zod.ts'
import { described, withExample } from './mini-zod.ts'

/** Levels of isolation between the processes of a step and their machine, from the weakest to the strictest. */
export const Isolation = z.enum(['none', 'sandbox', 'container'])
export type Isolation = z.infer<typeof Isolation>

/**
 * The box of a provisioned runner: the container or pod that it is. An attempt without another box is in this one,
 * beside the runner. Its network counts as open (`all`), since only the operator of the engine or cluster knows what it
 * lets through.
 */
export const ProvisionedBox = z.enum(['container', 'pod'])
export type ProvisionedBox = z.infer<typeof ProvisionedBox>

const LABEL = '[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?'
const PORT = String.raw`([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])`
/**
 * Matches `name` and `*.name`, each with `:port` unless it is 80 or 443, and with `@private` if its address is private.
 */
const HOST = new RegExp(String.raw`^(\*\.)?${LABEL}(\.${LABEL})*\.?(:${PORT})?(@private)?$`)
export const AllowedHost = z
  .string()
  .check(z.regex(HOST, 'a host is written as name, *.name, name:port or name:port@private'), z.maxLength(300))

/**
 * The hosts that boxed processes reach, always through their runner's proxy: none, their models' services, the listed
 * hosts and the models, or every public host.
 */
export const Network = withExample(
  z.union([
    z.enum(['none', 'models', 'all']),
    z.strictObject({
      allow: described(z.array(AllowedHost).check(z.minLength(1), z.maxLength(500)), 'Hosts'),
    }),
  ]),
  { allow: ['github.com'] },
)
export type Network = z.infer<typeof Network>

/** Matches the name of a container image: `node:22`, `registry.example.com:5000/tools@sha256:…`. */
const IMAGE = /^[a-zA-Z0-9][\w.-]*(:\d{1,5})?(\/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/
export const ImageName = z
  .string()
  .check(z.regex(IMAGE, 'an image is written as name, name:tag or registry/name:tag'), z.maxLength(500))

/** The keys with which a file, a step or a request asks for a box. */
export const BoxAskShape = {
  isolation: described(z.optional(Isolation), 'Minimum isolation of its processes from the machine'),
  network: described(
    z.optional(Network),
    'The most that its processes may reach: all, models, none, or {allow: [hosts]}; anything but all needs a box',
  ),
  image: described(z.optional(ImageName), 'Container image, for isolation: container'),
}
/** The box that one party asks for: file and step, request, group, runner. */
export interface BoxAsk {
  isolation?: Isolation | undefined
  network?: Network | undefined
  image?: string | undefined
}

/** Combines two requests: the stricter value of each, and the image of the second, which is the nearer one. */
export function strictestAsk(a: BoxAsk, b: BoxAsk): BoxAsk {
  const network = strictestNetwork(a.network, b.network)
  const isolation = boxFor(strictestIsolation(a.isolation, b.isolation), network)
  const image = b.image ?? a.image
  return {
    ...(isolation !== undefined && { isolation }),
    ...(network !== undefined && { network }),
    ...(image !== undefined && { image }),
  }
}

/** Returns the requested network; private hosts stay only where the operator's own network names them. */
export function permitted(
  requested: Network | undefined,
  operators: Network | undefined,
): Network | undefined {
  if (requested === undefined || typeof requested === 'string') return requested
  const own = new AllowedHosts(typeof operators === 'object' ? operators.allow : [])
  const allow = requested.allow.map((host) =>
    partsOf(host).isPrivate && !own.covers(host) ? host.slice(0, -'@private'.length) : host,
  )
  return { allow: [...new Set(allow)] }
}

/**
 * Parses a network from options and variables: `all`, `models`, `none`, or hosts separated by commas; undefined for any
 * other text.
 */
export function readNetwork(text: string): Network | undefined {
  const word = text.trim()
  if (word === 'all' || word === 'models' || word === 'none') return word
  const allow = word
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== '')
  const network = Network.safeParse({ allow })
  return network.success ? network.data : undefined
}

/** Most hosts of a list that are reported. */
const MOST_NAMED = 20

/**
 * Shortens a network for the reports of each attempt to its first hosts, since a step may have thousands of instances.
 */
export const shownNetwork = (network: Network): Network =>
  typeof network === 'string' ? network : { allow: network.allow.slice(0, MOST_NAMED) }

/**
 * Returns the minimum box for what follows an attempt in the given box: nothing weaker, with no wider reach. A list of
 * hosts that may have been shortened sets no limit.
 */
export function askAfter({ isolation, network }: Pick<BoxAsk, 'isolation' | 'network'>): BoxAsk {
  if (isolation === undefined || isolation === 'none') return {}
  const isWhole = typeof network === 'string' || (network?.allow.length ?? MOST_NAMED) < MOST_NAMED
  return isWhole ? { isolation, network } : { isolation }
}

/** Formats a network for a person. */
export function networkText(network: Network): string {
  if (typeof network === 'string') return network
  const more = network.allow.length - MOST_NAMED
  return `${network.allow.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** Throws `invalid_argument` when the network is to be limited without a box. */
export function checkNetworkHasBox({ isolation, network = 'all' }: BoxAsk): void {
  if (isolation === 'none' && network !== 'all')
    throw new ErrandError(
      'invalid_argument',
      'network needs a box: without one, everything can be reached.',
      {
        hint: 'Set isolation to "sandbox", or omit isolation.',
      },
    )
}

/** Returns the weakest isolation that can enforce the network: without a box a process reaches everything. */
export const boxFor = (
  isolation: Isolation | undefined,
  network: Network | undefined,
): Isolation | undefined =>
  network === undefined || network === 'all' ? isolation : strictestIsolation(isolation, 'sandbox')

const ISOLATIONS = Isolation.options

/** Returns the stricter of two; a missing one asks for nothing. */
export function strictestIsolation(
  a: Isolation | undefined,
  b: Isolation | undefined,
): Isolation | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return ISOLATIONS[Math.max(ISOLATIONS.indexOf(a), ISOLATIONS.indexOf(b))]
}

/**
 * Returns the hosts that both let through; a missing one lets all through. Hosts that only one names are not allowed.
 */
export function strictestNetwork(a: Network | undefined, b: Network | undefined): Network | undefined {
  if (a === undefined || b === undefined) return a ?? b
  if (a === 'none' || b === 'none') return 'none'
  if (a === 'models' || b === 'models') return 'models'
  if (a === 'all') return b
  if (b === 'all') return a
  const [ofA, ofB] = [new AllowedHosts(a.allow), new AllowedHosts(b.allow)]
  const both = [...a.allow.filter((host) => ofB.covers(host)), ...b.allow.filter((host) => ofA.covers(host))]
  return both.length === 0 ? 'models' : { allow: [...new Set(both)] }
}

/** Compares hosts as written in `allow`: tells whether one of them covers another host. */
class AllowedHosts {
  readonly #exact = new Map<string, HostParts[]>()
  readonly #wild = new Map<string, HostParts[]>()

  constructor(allow: readonly string[]) {
    for (const parts of allow.map(partsOf)) {
      const byName = parts.wild ? this.#wild : this.#exact
      byName.set(parts.name, [...(byName.get(parts.name) ?? []), parts])
    }
  }

  covers(host: string): boolean {
    const parts = partsOf(host)
    const fits = (own: HostParts) =>
      (own.port === parts.port || (own.port === undefined && (parts.port === 80 || parts.port === 443))) &&
      (own.isPrivate || !parts.isPrivate)
    const known = parts.wild ? this.#wild : this.#exact
    if (known.get(parts.name)?.some(fits)) return true
    for (let dot = parts.name.indexOf('.'); dot !== -1; dot = parts.name.indexOf('.', dot + 1))
      if (this.#wild.get(parts.name.slice(dot + 1))?.some(fits)) return true
    return false
  }
}

interface HostParts {
  name: string
  wild: boolean
  port?: number
  isPrivate: boolean
}

/** Returns the parts of a host as written in `allow`; without a port it is 80 and 443. */
export function partsOf(host: string): HostParts {
  const isPrivate = host.endsWith('@private')
  const [name = '', port] = (isPrivate ? host.slice(0, -'@private'.length) : host).toLowerCase().split(':')
  const wild = name.startsWith('*.')
  const bare = (wild ? name.slice(2) : name).replace(/\.$/, '')
  return { name: bare, wild, port: port === undefined ? undefined : Number(port), isPrivate }
}

/**
 * The reasons for which a box's network refuses a request: the words of `network.refused`, and the text for a person.
 */
export const refusals = {
  bad_request: 'a proxy cannot forward this request',
  odd_address: 'its host is neither a name nor an address in the usual form',
  host_not_allowed: 'that host is not allowed',
  port_not_allowed: 'that port of the host is not allowed',
  private_address: 'its address is not on the public internet',
  own_address: 'its address belongs to this machine or to the hub',
  name_mismatch: 'it asks that server for another host (in TLS or in the Host header)',
  no_tls: 'it is not TLS with the name of the server; port 443 allows nothing else',
  odd_name: 'its name has more than ten parts',
  model_path: 'it is not a model request',
  foreign_key: 'its key is not the placeholder key that this run was given',
  model_not_allowed: 'that model is not allowed',
  service_reaches_out: 'the service would contact other hosts for it',
} as const
export type Refusal = keyof typeof refusals

/** Formats a reason for a person; one that only a newer runner knows is shown unchanged. */
export const refusalText = (why: string, count = 1): string => {
  const times = count > 1 ? `${count.toLocaleString('en-US')} times` : ''
  if (!isRefusal(why)) return times === '' ? why : `${why} (${times})`
  return `${refusals[why]} (${[why, times].filter(Boolean).join(', ')})`
}

const isRefusal = (why: string): why is Refusal => Object.hasOwn(refusals, why)
