import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { promisify } from 'node:util'
import { ErrandError } from '../../contract/errors.ts'
import { systemLookup } from '../git/server-addresses.ts'
import type { AllowedPlace } from './network-settings.ts'

const execute = promisify(execFile)
/** Another program may be changing rules just now. */
const WAIT_SECONDS = '10'

type Family = 'iptables' | 'ip6tables'

/** The rules that close the networks of bots. Remembers what stood there when they were set: what is unchanged is right. */
export class NetworkGuard {
  readonly #set = new Map<Family, { rules: string; printed: string }>()

  async set(bridges: readonly GuardedBridge[], open: readonly OpenPlace[]): Promise<void> {
    await changed(async () => {
      const printed = await table('iptables')
      const change = () =>
        this.#ensure('iptables', printed, bridges.map(hookRule), (hook) => guardRules(bridges, open, hook))
      return { printed, change }
    })
    if (!hasIpv6()) return
    await changed(async () => {
      const printed = await table('ip6tables')
      return { printed, change: () => this.#ensure('ip6tables', printed, bridges.map(ipv6Rule), closedIpv6) }
    })
  }

  /** Takes away the rules of networks that are gone, whoever has removed them. */
  async removeStale(): Promise<void> {
    await changed(async () => {
      // In the other order than they are set: a rule whose chain is not seen has none.
      const printed6 = hasIpv6() ? await table('ip6tables') : ''
      const printed = { v4: await table('iptables'), v6: printed6 }
      const { v4, v6 } = staleRules(printed, (bridge) => existsSync(`/sys/class/net/${bridge}`))
      const change = async () => {
        if (v4.length > 0) await restore('iptables', ['*raw', ...v4, 'COMMIT', ''].join('\n'))
        if (v6.length > 0) await restore('ip6tables', ['*raw', ...v6, 'COMMIT', ''].join('\n'))
      }
      return { printed: `${printed.v4}\n${printed.v6}`, change }
    })
  }

  async #ensure(
    family: Family,
    printed: string,
    first: string[],
    rulesWith: (hook: string[]) => string,
  ): Promise<void> {
    const rules = rulesWith([])
    const before = this.#set.get(family)
    if (before?.rules === rules && before.printed === printed) return
    await restore(family, rulesWith(hookFirst(printed, first)))
    this.#set.set(family, { rules, printed: await table(family) })
  }
}

/**
 * A change of what was printed. Another guard may have made the same one since, and a restore is whole or not at all: what
 * fails is tried again for as long as something else is printed.
 */
async function changed(read: () => Promise<{ printed: string; change: () => Promise<void> }>): Promise<void> {
  let seen: string | undefined
  for (let failure: unknown; ; ) {
    const { printed, change } = await read()
    if (printed === seen) throw failure
    seen = printed
    try {
      return await change()
    } catch (error) {
      failure = error
    }
  }
}

const hasIpv6 = (): boolean => existsSync('/proc/net/if_inet6')

const table = (family: Family): Promise<string> => runTable(family, ['-w', WAIT_SECONDS, '-t', 'raw', '-S'])

async function restore(family: Family, rules: string): Promise<void> {
  await runTable(`${family}-restore`, ['-w', WAIT_SECONDS, '--noflush'], rules)
}

async function runTable(program: string, args: string[], input?: string): Promise<string> {
  // Services often have no sbin in their PATH.
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
  try {
    const running = execute(program, args, { env, maxBuffer: 16 * 1024 * 1024 })
    // One that ends early says why itself.
    running.child.stdin!.on('error', () => {})
    running.child.stdin!.end(input)
    return (await running).stdout
  } catch (error) {
    throw notClosed(why(program, error as NodeJS.ErrnoException & { stderr?: string }), error)
  }
}

function why(
  program: string,
  { code, stderr, message }: NodeJS.ErrnoException & { stderr?: string },
): string {
  if (code === 'ENOENT') return `${program} is not installed`
  return `${program} says: ${(stderr || message).trim().split('\n')[0]}`
}

/** No bot is started where its network cannot be closed. */
export function notClosed(reason: string, cause?: unknown): ErrandError {
  return new ErrandError('unavailable', `The network of bots cannot be closed: ${reason}.`, {
    hint: 'Run the runner as root on the machine of its engine, with iptables installed; or close the network yourself and set ERRAND_BOT_NETWORK_GUARD=external (docs/runners.md).',
    cause,
  })
}

/** Networks that are nobody's on the internet, and the metadata addresses of clouds among them. */
const CLOSED_RANGES = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
]
const CHAIN_PREFIX = 'ERRAND-'
const BUILDS = '-B'
const HOOK = 'PREROUTING'

export const short = (network: string): string =>
  createHash('sha256').update(network).digest('hex').slice(0, 8)
/** At most 15 characters: Linux allows no more. */
export const bridgeName = (network: string): string => `errand-${short(network)}`
/** How the bridges of its builds begin, which come and go: one rule stands for them all, before there is any. */
export const buildBridges = (network: string): string => `erb-${short(network).slice(0, 6)}`
export const guardChain = (network: string): string => `${CHAIN_PREFIX}${short(network)}`
export const buildsChain = (network: string): string => `${guardChain(network)}${BUILDS}`

export interface GuardedBridge {
  chain: string
  /** Its name; or how the names of several begin, and a "+". */
  bridge: string
  subnets: readonly string[]
  /** Who is on it can write another's address into its packets. */
  forges: boolean
}

/**
 * The lines for `iptables-restore --noflush` that make the chain of each bridge anew, all at once: forged senders, open places,
 * then every address of this machine (and broadcast), then what is closed. They stand in the table `raw` before routing: no
 * rule of a firewall, of the engine, or for a published port comes earlier, and no engine's start takes them away.
 */
export function guardRules(
  bridges: readonly GuardedBridge[],
  open: readonly OpenPlace[],
  hook: string[],
): string {
  const lines = ['*raw']
  for (const { chain } of bridges) lines.push(`:${chain} - [0:0]`)
  for (const { chain, subnets, forges } of bridges) {
    const add = `-A ${chain}`
    if (forges) lines.push(`${add} -m rpfilter --invert -j DROP`)
    for (const { address, port } of open)
      for (const protocol of ['tcp', 'udp'])
        lines.push(`${add} -d ${address} -p ${protocol} --dport ${port} -j RETURN`)
    lines.push(`${add} -m addrtype ! --dst-type UNICAST -j DROP`)
    for (const range of [...CLOSED_RANGES, ...subnets]) lines.push(`${add} -d ${range} -j DROP`)
  }
  return [...lines, ...hook, 'COMMIT', ''].join('\n')
}

/** A bot has no IPv6 at all. */
function closedIpv6(hook: string[]): string {
  return ['*raw', ...hook, 'COMMIT', ''].join('\n')
}

/** The changes for these rules to stand first, of what `iptables -S PREROUTING` prints. */
export function hookFirst(printed: string, rules: readonly string[]): string[] {
  const present = printed.split('\n').filter((line) => line.startsWith(`-A ${HOOK} `))
  // What only drops, or is another such guard's, may stand before them.
  const harmless = (line: string): boolean =>
    line.includes(` -j ${CHAIN_PREFIX}`) || line.endsWith(' -j DROP')
  const foreign = present.findIndex((line) => !harmless(line))
  const first = foreign < 0 ? present : present.slice(0, foreign)
  return rules
    .map((rule) => `-A ${HOOK} ${rule}`)
    .filter((rule) => !first.includes(rule))
    .flatMap((rule) => [
      ...present.filter((line) => line === rule).map(deleted),
      rule.replace(`-A ${HOOK}`, `-I ${HOOK} 1`),
    ])
}

const hookRule = ({ bridge, chain }: GuardedBridge): string => `-i ${bridge} -j ${chain}`
const ipv6Rule = ({ bridge }: GuardedBridge): string => `-i ${bridge} -j DROP`

/**
 * The lines that take away what stands for networks that are gone, of what `iptables -S` and `ip6tables -S` print; none where
 * there is nothing. `isThere` tells of an interface. The chain of the builds goes with that of the bots.
 */
export function staleRules(
  { v4, v6 }: { v4: string; v6: string },
  isThere: (bridge: string) => boolean,
): { v4: string[]; v6: string[] } {
  const lines = v4.split('\n')
  const bots = lines.flatMap((line) => /^-N (ERRAND-[0-9a-f]{8})$/.exec(line)?.[1] ?? [])
  const hooksOf = (chain: string) =>
    lines.filter((line) => line.startsWith(`-A ${HOOK} `) && line.endsWith(` -j ${chain}`))
  const stands = (chain: string): boolean =>
    [...hooksOf(chain).map(hookedBridge), `errand-${chain.slice(CHAIN_PREFIX.length)}`].some(isThere)
  const standing = bots.filter(stands)
  const stale = lines
    .flatMap((line) => /^-N (ERRAND-[0-9a-f]{8}(?:-B)?)$/.exec(line)?.[1] ?? [])
    .filter((chain) => !standing.includes(chain.replace(BUILDS, '')))
  return {
    v4: [
      ...stale.flatMap(hooksOf).map(deleted),
      ...stale.map((chain) => `-F ${chain}`),
      ...stale.map((chain) => `-X ${chain}`),
    ],
    v6: v6.split('\n').flatMap((line) => {
      const [, key] = /^-A PREROUTING -i (?:errand-|erb-)([0-9a-f]{6,8})\+? -j DROP$/.exec(line) ?? []
      const isStale = key && !standing.some((chain) => chain.startsWith(CHAIN_PREFIX + key))
      return isStale ? [deleted(line)] : []
    }),
  }
}

const hookedBridge = (rule: string): string => / -i (\S+) /.exec(rule)?.[1] ?? ''
const deleted = (rule: string): string => rule.replace('-A', '-D')

/** An address that bots may reach although its range is closed. */
interface OpenPlace {
  address: string
  port: number
}

const DNS_PORT = 53
/** Where engines look for the machine's name servers; the second where the first names only a stub on loopback. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']

/** The machine's name servers, which a bot's own questions go to, and what the operator allows. */
export async function openPlaces(allow: readonly AllowedPlace[]): Promise<OpenPlace[]> {
  const servers = await Promise.all(RESOLVER_FILES.map(nameServers))
  const places = await Promise.all(allow.map(placesOf))
  const open = [...servers.flat().map((address) => ({ address, port: DNS_PORT })), ...places.flat()]
  const unique = new Map(open.map((place) => [`${place.address}:${place.port}`, place]))
  return [...unique.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place)
}

async function nameServers(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address]) => address!)
  // The engine itself asks one on loopback: no packet of a bot goes there.
  return found.filter((address) => isIPv4(address) && !address.startsWith('127.'))
}

async function placesOf({ host, port }: AllowedPlace): Promise<OpenPlace[]> {
  try {
    const found = (await systemLookup(host)).filter(isIPv4)
    if (found.length === 0) throw new Error('it has none of IPv4')
    return found.map((address) => ({ address, port }))
  } catch (error) {
    throw new ErrandError('unavailable', `No address is found for ${host}, which ERRAND_BOT_ALLOW names.`, {
      hint: 'Correct the name, or write its IPv4 address.',
      cause: error,
    })
  }
}
