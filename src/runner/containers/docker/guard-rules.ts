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
const HOOK = 'PREROUTING'

const short = (network: string): string => createHash('sha256').update(network).digest('hex').slice(0, 8)
/** At most 15 characters: Linux allows no more. */
export const bridgeName = (network: string): string => `errand-${short(network)}`
export const guardChain = (network: string): string => `${CHAIN_PREFIX}${short(network)}`

export interface GuardedBridge {
  network: string
  bridge: string
  subnets: readonly string[]
}

/**
 * The lines for `iptables-restore --noflush` that make the chain of each bridge anew, all at once: open places, then
 * every address of this machine (and broadcast), then what is closed. They stand in the table `raw` before routing: no
 * rule of a firewall, of the engine, or for a published port comes earlier, and no engine's start takes them away.
 */
export function guardRules(
  bridges: readonly GuardedBridge[],
  open: readonly OpenPlace[],
  hook: string[],
): string {
  const lines = ['*raw']
  for (const { network } of bridges) lines.push(`:${guardChain(network)} - [0:0]`)
  for (const { network, subnets } of bridges) {
    const add = `-A ${guardChain(network)}`
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

/** What is to be changed for these rules to stand first, of what `iptables -S PREROUTING` prints. */
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
      ...present.filter((line) => line === rule).map((line) => line.replace('-A', '-D')),
      rule.replace(`-A ${HOOK}`, `-I ${HOOK} 1`),
    ])
}

export const hookRule = ({ network, bridge }: GuardedBridge): string =>
  `-i ${bridge} -j ${guardChain(network)}`
export const ipv6Rule = ({ bridge }: GuardedBridge): string => `-i ${bridge} -j DROP`
