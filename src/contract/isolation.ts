import { ErrandError } from './errors.ts'
import * as z from './mini-zod.ts'
import { described, withExample } from './mini-zod.ts'

/** How far the processes of a step stand apart from their machine, from the least to the strictest. */
export const Isolation = z.enum(['none', 'sandbox', 'container'])
export type Isolation = z.infer<typeof Isolation>

/**
 * The box of a runner that was made for one run: the container or pod that it is. What has no other box stands in that one, beside
 * the runner; its network counts as open (`all`), since only who keeps the engine or cluster knows what that lets through.
 */
export const MadeBox = z.enum(['container', 'pod'])
export type MadeBox = z.infer<typeof MadeBox>

const LABEL = '[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?'
const PORT = String.raw`([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])`
/** `name`, `*.name`, each with `:port` where it is neither 80 nor 443, and `@private` where its address is a private one. */
const HOST = new RegExp(String.raw`^(\*\.)?${LABEL}(\.${LABEL})*\.?(:${PORT})?(@private)?$`)
export const AllowedHost = z
  .string()
  .check(z.regex(HOST, 'a host is written as name, *.name, name:port or name:port@private'), z.maxLength(300))

/**
 * The reach of processes in a box, always by the proxy of their runner: nothing, the services of their models, these hosts and
 * the models, or every public host.
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

/** An image of a container as it is named: `node:22`, `registry.example.com:5000/tools@sha256:…`. */
const IMAGE = /^[a-zA-Z0-9][\w.-]*(:\d{1,5})?(\/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$/
export const ImageName = z
  .string()
  .check(z.regex(IMAGE, 'an image is written as name, name:tag or registry/name:tag'), z.maxLength(500))

/** The keys by which a file, a step or a request asks for a box. */
export const BoxAskShape = {
  isolation: described(z.optional(Isolation), 'Minimum isolation of its processes from the machine'),
  network: described(
    z.optional(Network),
    'The most that its processes may reach: all, models, none, or {allow: [hosts]}; anything but all needs a box',
  ),
  image: described(z.optional(ImageName), 'Container image, for isolation: container'),
}
/** The demands of one of those who have a say: file and step, request, group, runner. */
export interface BoxAsk {
  isolation?: Isolation | undefined
  network?: Network | undefined
  image?: string | undefined
}

/** The demands of both together: the stricter of each, and the image of the second, which is the nearer one. */
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

/** A network that someone asks for, with private hosts only where the operator's own names them. */
export function permitted(asked: Network | undefined, operators: Network | undefined): Network | undefined {
  if (asked === undefined || typeof asked === 'string') return asked
  const own = new AllowedHosts(typeof operators === 'object' ? operators.allow : [])
  const allow = asked.allow.map((host) =>
    partsOf(host).isPrivate && !own.covers(host) ? host.slice(0, -'@private'.length) : host,
  )
  return { allow: [...new Set(allow)] }
}

/** A network as options and variables write it: `all`, `models`, `none`, or hosts with commas between; undefined: it is none. */
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

/** Hosts that are named of a list. */
const MOST_NAMED = 20

/** A network as it is told of each attempt: of a list the first hosts, since a step may have thousands of instances. */
export const toldNetwork = (network: Network): Network =>
  typeof network === 'string' ? network : { allow: network.allow.slice(0, MOST_NAMED) }

/**
 * The demands on what comes after an attempt that was told to be in that box: no lesser one, from where it reaches no more. A
 * list that may have been longer than it was told demands nothing.
 */
export function askAfter({ isolation, network }: Pick<BoxAsk, 'isolation' | 'network'>): BoxAsk {
  if (isolation === undefined || isolation === 'none') return {}
  const isWhole = typeof network === 'string' || (network?.allow.length ?? MOST_NAMED) < MOST_NAMED
  return isWhole ? { isolation, network } : { isolation }
}

/** A network as a person reads it. */
export function networkText(network: Network): string {
  if (typeof network === 'string') return network
  const more = network.allow.length - MOST_NAMED
  return `${network.allow.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** Throws `invalid_argument` where no box is wanted, and the network is to be limited. */
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

/** The least isolation that holds to the network: what is not in a box reaches everything. */
export const boxFor = (
  isolation: Isolation | undefined,
  network: Network | undefined,
): Isolation | undefined =>
  network === undefined || network === 'all' ? isolation : strictestIsolation(isolation, 'sandbox')

const ISOLATIONS = Isolation.options

/** The stricter of two; one that is not given asks for nothing. */
export function strictestIsolation(
  a: Isolation | undefined,
  b: Isolation | undefined,
): Isolation | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return ISOLATIONS[Math.max(ISOLATIONS.indexOf(a), ISOLATIONS.indexOf(b))]
}

/** The hosts that both let through; one that is not given lets all through. Hosts that only one names are not allowed. */
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

/** Hosts as they are written in `allow`, to be asked whether one of them lets through all that another does. */
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
    const asked = partsOf(host)
    const fits = (own: HostParts) =>
      (own.port === asked.port || (own.port === undefined && (asked.port === 80 || asked.port === 443))) &&
      (own.isPrivate || !asked.isPrivate)
    const known = asked.wild ? this.#wild : this.#exact
    if (known.get(asked.name)?.some(fits)) return true
    for (let dot = asked.name.indexOf('.'); dot !== -1; dot = asked.name.indexOf('.', dot + 1))
      if (this.#wild.get(asked.name.slice(dot + 1))?.some(fits)) return true
    return false
  }
}

interface HostParts {
  name: string
  wild: boolean
  port?: number
  isPrivate: boolean
}

/** The parts of a host as it is written in `allow`; without a port it is 80 and 443. */
export function partsOf(host: string): HostParts {
  const isPrivate = host.endsWith('@private')
  const [name = '', port] = (isPrivate ? host.slice(0, -'@private'.length) : host).toLowerCase().split(':')
  const wild = name.startsWith('*.')
  const bare = (wild ? name.slice(2) : name).replace(/\.$/, '')
  return { name: bare, wild, port: port === undefined ? undefined : Number(port), isPrivate }
}

/** Why the network of a box refuses something: the words of `network.refused`, and how a person is told. */
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

/** A reason as a person reads it; one that a newer runner tells stands as it is. */
export const refusalText = (why: string, count = 1): string => {
  const times = count > 1 ? `${count.toLocaleString('en-US')} times` : ''
  if (!isRefusal(why)) return times === '' ? why : `${why} (${times})`
  return `${refusals[why]} (${[why, times].filter(Boolean).join(', ')})`
}

const isRefusal = (why: string): why is Refusal => Object.hasOwn(refusals, why)
