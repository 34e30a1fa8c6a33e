import { createHash } from 'node:crypto'
import type { OpenPlace } from './open-places.ts'

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

const short = (network: string): string => createHash('sha256').update(network).digest('hex').slice(0, 8)
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
export function closedIpv6(hook: string[]): string {
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

export const hookRule = ({ bridge, chain }: GuardedBridge): string => `-i ${bridge} -j ${chain}`
export const ipv6Rule = ({ bridge }: GuardedBridge): string => `-i ${bridge} -j DROP`

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
