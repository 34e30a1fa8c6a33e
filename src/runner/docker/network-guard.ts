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
/** Waits, since another program may be changing rules at the moment. */
const WAIT_SECONDS = '10'

type Family = 'iptables' | 'ip6tables'

/**
 * Sets the rules that close the networks of bots. It remembers the printed rules after setting them: unchanged text is
 * correct.
 */
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

  /** Removes the rules of networks that are gone, whoever removed them. */
  async removeStale(): Promise<void> {
    await changed(async () => {
      // In the reverse order of setting them: a rule whose chain is not visible has none.
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
 * Applies a change to the printed rules. Another guard may have made the same change since, and a restore applies
 * completely or not at all, so a failure is retried as long as the printed rules differ.
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
    // A program that ends early gives the reason itself.
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

/** Returns the error that prevents the start of bots if their network cannot be closed. */
export function notClosed(reason: string, cause?: unknown): ErrandError {
  return new ErrandError('unavailable', `The network of bots cannot be closed: ${reason}.`, {
    hint: 'Run the runner as root on the machine of its engine, with iptables installed. Or close the network yourself and set ERRAND_BOT_NETWORK_GUARD=external (docs/runners.md).',
    cause,
  })
}

/** Networks that are not on the public internet, including the metadata addresses of clouds. */
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
/** Returns the bridge's name: at most 15 characters, the limit of Linux. */
export const bridgeName = (network: string): string => `errand-${short(network)}`
/** Returns the prefix of its build bridges, which come and go: one rule covers them all, before any exists. */
export const buildBridges = (network: string): string => `erb-${short(network).slice(0, 6)}`
export const guardChain = (network: string): string => `${CHAIN_PREFIX}${short(network)}`
export const buildsChain = (network: string): string => `${guardChain(network)}${BUILDS}`

export interface GuardedBridge {
  chain: string
  /** Name of the bridge, or the common prefix of several and a "+". */
  bridge: string
  subnets: readonly string[]
  /** Set if a program on it can forge sender addresses. */
  forges: boolean
}

/**
 * Returns the lines for `iptables-restore --noflush` that recreate the chain of each bridge at once: forged senders,
 * open places, then every address of this machine (and broadcast), then closed ranges. They are in the table `raw`
 * before routing: no rule of a firewall, of the engine, or for a published port comes earlier, and no start of an
 * engine removes them.
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

/** Returns rules that block all IPv6 of a bot. */
function closedIpv6(hook: string[]): string {
  return ['*raw', ...hook, 'COMMIT', ''].join('\n')
}

/** Returns the changes that put these rules first in the output of `iptables -S PREROUTING`. */
export function hookFirst(printed: string, rules: readonly string[]): string[] {
  const present = printed.split('\n').filter((line) => line.startsWith(`-A ${HOOK} `))
  // Rules that only drop, or belong to another such guard, may come before them.
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
 * Returns the lines that remove the rules of networks that are gone, from the output of `iptables -S` and `ip6tables
 * -S`; none if there is nothing. `isThere` checks an interface. The chain of the builds is removed with that of the
 * bots.
 */
export function staleRules(
  { v4, v6 }: { v4: string; v6: string },
  isThere: (bridge: string) => boolean,
): { v4: string[]; v6: string[] } {
  const lines = v4.split('\n')
  const bots = lines.flatMap((line) => /^-N (ERRAND-[0-9a-f]{8})$/.exec(line)?.[1] ?? [])
  const hooksOf = (chain: string) =>
    lines.filter((line) => line.startsWith(`-A ${HOOK} `) && line.endsWith(` -j ${chain}`))
  const isInPlace = (chain: string): boolean =>
    [...hooksOf(chain).map(hookedBridge), `errand-${chain.slice(CHAIN_PREFIX.length)}`].some(isThere)
  const existing = bots.filter(isInPlace)
  const stale = lines
    .flatMap((line) => /^-N (ERRAND-[0-9a-f]{8}(?:-B)?)$/.exec(line)?.[1] ?? [])
    .filter((chain) => !existing.includes(chain.replace(BUILDS, '')))
  return {
    v4: [
      ...stale.flatMap(hooksOf).map(deleted),
      ...stale.map((chain) => `-F ${chain}`),
      ...stale.map((chain) => `-X ${chain}`),
    ],
    v6: v6.split('\n').flatMap((line) => {
      const [, key] = /^-A PREROUTING -i (?:errand-|erb-)([0-9a-f]{6,8})\+? -j DROP$/.exec(line) ?? []
      const isStale = key && !existing.some((chain) => chain.startsWith(CHAIN_PREFIX + key))
      return isStale ? [deleted(line)] : []
    }),
  }
}

const hookedBridge = (rule: string): string => / -i (\S+) /.exec(rule)?.[1] ?? ''
const deleted = (rule: string): string => rule.replace('-A', '-D')

/** Address that bots may reach although its range is closed. */
interface OpenPlace {
  address: string
  port: number
}

const DNS_PORT = 53
/**
 * Files in which engines look for the machine's name servers; the second is used if the first names only a stub on
 * loopback.
 */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']

/** Returns the machine's name servers, which get a bot's own queries, and what the operator allows. */
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
  // The engine itself queries one on loopback: no packet of a bot goes there.
  return found.filter((address) => isIPv4(address) && !address.startsWith('127.'))
}

async function placesOf({ host, port }: AllowedPlace): Promise<OpenPlace[]> {
  try {
    const found = (await systemLookup(host)).filter(isIPv4)
    if (found.length === 0) throw new Error('it has no IPv4 address')
    return found.map((address) => ({ address, port }))
  } catch (error) {
    throw new ErrandError('unavailable', `No address was found for ${host}, which ERRAND_BOT_ALLOW names.`, {
      hint: 'Correct the name, or write its IPv4 address.',
      cause: error,
    })
  }
}
