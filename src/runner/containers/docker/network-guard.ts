import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { ErrandError } from '../../../contract/errors.ts'
import {
  closedIpv6,
  type GuardedBridge,
  guardRules,
  hookFirst,
  hookRule,
  ipv6Rule,
  staleRules,
} from './guard-rules.ts'
import type { OpenPlace } from './open-places.ts'

const execute = promisify(execFile)
/** Another program may be changing rules just now. */
const WAIT_SECONDS = '10'

type Family = 'iptables' | 'ip6tables'

/** The rules that close the networks of bots. Remembers what stood there when they were set: what is unchanged is right. */
export class NetworkGuard {
  readonly #set = new Map<Family, { rules: string; printed: string }>()

  async set(bridges: readonly GuardedBridge[], open: readonly OpenPlace[]): Promise<void> {
    const asked6 = hasIpv6() ? table('ip6tables') : undefined
    // Where neither may be asked the first one tells why.
    asked6?.catch(() => undefined)
    const printed = await table('iptables')
    await this.#ensure('iptables', printed, bridges.map(hookRule), (hook) => guardRules(bridges, open, hook))
    const printed6 = await asked6
    if (printed6 !== undefined) await this.#ensure('ip6tables', printed6, bridges.map(ipv6Rule), closedIpv6)
  }

  /** Takes away the rules of networks that are gone, whoever has removed them. */
  async removeStale(): Promise<void> {
    // In the other order than they are set: a rule whose chain is not seen has none.
    const printed6 = hasIpv6() ? await table('ip6tables') : ''
    const printed = { v4: await table('iptables'), v6: printed6 }
    const { v4, v6 } = staleRules(printed, (bridge) => existsSync(`/sys/class/net/${bridge}`))
    if (v4.length > 0) await restore('iptables', ['*raw', ...v4, 'COMMIT', ''].join('\n'))
    if (v6.length > 0) await restore('ip6tables', ['*raw', ...v6, 'COMMIT', ''].join('\n'))
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

const hasIpv6 = (): boolean => existsSync('/proc/net/if_inet6')

const table = (family: Family): Promise<string> => run(family, ['-w', WAIT_SECONDS, '-t', 'raw', '-S'])

async function restore(family: Family, rules: string): Promise<void> {
  await run(`${family}-restore`, ['-w', WAIT_SECONDS, '--noflush'], rules)
}

async function run(program: string, args: string[], input?: string): Promise<string> {
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
