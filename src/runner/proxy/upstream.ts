import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { isIP, type LookupFunction, type Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import { refusals } from '../../contract/isolation.ts'
import { systemLookup } from '../git/server-addresses.ts'
import { allowance, ClosedPlaces, type Lookup, refusedAddress, type Target } from './addresses.ts'
import type { EndpointRules, ModelRule } from './rules.ts'

/** Time in ms; unused connections end before most services end theirs, so that few requests meet a dead one. */
const IDLE_MS = 15_000
const pooled = { keepAlive: true, timeout: IDLE_MS, scheduling: 'lifo' } as const
const CONNECT_MS = 10_000

/**
 * Returns the addresses of a host at that port, if all of them may be reached; otherwise throws, with the reason as its
 * code.
 */
export type CheckedLookup = (target: Target, rules: EndpointRules) => Promise<readonly string[]>

/**
 * Makes the look-up for hosts that a step has named: they are reached like any other host of a network, whatever their
 * port.
 */
export function checkedLookup(lookup: Lookup): CheckedLookup {
  const closed = new ClosedPlaces(lookup)
  return async (target, { network, never }) => {
    const { host } = target
    const allowed = allowance(network, target)
    const isPrivate = typeof allowed !== 'string' && allowed.isPrivate
    const addresses = isIP(host) === 0 ? await lookup(host) : [host]
    const why =
      addresses.map((address) => refusedAddress(address, { isPrivate })).find((each) => each !== undefined) ??
      ((await closed.has(never, target, addresses)) ? 'own_address' : undefined)
    if (why === undefined) return addresses
    throw Object.assign(new Error(`a step may not reach ${host}: ${refusals[why]}`), { code: REFUSED, why })
  }
}
/** Code of an error for what may not be reached. */
export const REFUSED = 'ERR_REFUSED'

/**
 * Sends requests to the model services, and keeps connections for the next request. A request is sent once, whatever
 * the result.
 */
export class Upstream {
  readonly #http = new HttpAgent(pooled)
  readonly #https = new HttpsAgent(pooled)
  readonly #tunnels = new Map<string, HttpsAgent>()
  readonly #checked: CheckedLookup

  constructor(checked = checkedLookup(systemLookup)) {
    this.#checked = checked
  }

  /**
   * Resolves with the head of the answer. Rejects if there is none, or the signal comes first; the signal also cuts an
   * answer.
   */
  async send(
    rule: ModelRule,
    rules: EndpointRules,
    message: { method: string; path: string; headers: Record<string, string>; body?: Buffer },
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const base = new URL(rule.upstream)
    const path = `${base.pathname.replace(/\/+$/, '')}${message.path}`
    const isSecure = base.protocol === 'https:'
    const plainProxy = !isSecure && rule.proxy !== undefined ? new URL(rule.proxy) : undefined
    const to = plainProxy ?? base
    const headers: Record<string, string> = { ...message.headers, host: base.host }
    if (message.body !== undefined) headers['content-length'] = String(message.body.length)
    if (plainProxy !== undefined) Object.assign(headers, proxyAuthorization(plainProxy))
    const hostname = to.hostname.replace(/^\[|\]$/g, '')
    const port = Number(to.port) || (isSecure ? 443 : 80)
    // Resolved once: whatever the name resolves to later, the connection goes to the checked address.
    const only = rule.checked
      ? await this.#checked({ host: hostname.replace(/\.$/, ''), port }, rules)
      : undefined
    return await new Promise((resolve, reject) => {
      const request = (isSecure ? httpsRequest : httpRequest)({
        method: message.method,
        ...{ hostname, port },
        path: plainProxy === undefined ? path : `${base.origin}${path}`,
        headers,
        // A reused connection belongs to whoever opened it.
        agent: only !== undefined ? false : isSecure ? this.#secureAgent(rule.proxy) : this.#http,
        ...(only === undefined ? {} : { lookup: answering(only) }),
        signal,
      })
      request.once('response', resolve)
      // Node reports this in no other way.
      request.once('upgrade', (_answer, socket) => {
        socket.destroy()
        reject(new Error('it switched protocols without being asked'))
      })
      request.on('error', reject)
      request.end(message.body)
    })
  }

  close(): void {
    for (const agent of [this.#http, this.#https, ...this.#tunnels.values()]) agent.destroy()
  }

  #secureAgent(proxy: string | undefined): HttpsAgent {
    if (proxy === undefined) return this.#https
    const known = this.#tunnels.get(proxy)
    if (known !== undefined) return known
    const agent = new TunnelAgent(new URL(proxy))
    this.#tunnels.set(proxy, agent)
    return agent
  }
}

/** Returns a look-up that gives these addresses. */
const answering =
  (addresses: readonly string[]): LookupFunction =>
  (_, options, done) => {
    const all = addresses.map((address) => ({ address, family: isIP(address) }))
    if (options.all) done(null, all)
    else done(null, all[0]!.address, all[0]!.family)
  }

/** Connects through a proxy of the machine (`CONNECT`), which sees the host but none of the content. */
class TunnelAgent extends HttpsAgent {
  readonly #proxy: URL

  constructor(proxy: URL) {
    super(pooled)
    this.#proxy = proxy
  }

  override createConnection(
    ...[options, done]: Parameters<HttpsAgent['createConnection']>
  ): ReturnType<HttpsAgent['createConnection']> {
    const { host, port, servername } = options as { host?: string; port?: number; servername?: string }
    const target = `${host?.includes(':') ? `[${host}]` : host}:${port}`
    const connect = (this.#proxy.protocol === 'https:' ? httpsRequest : httpRequest)({
      method: 'CONNECT',
      hostname: this.#proxy.hostname,
      port: this.#proxy.port || (this.#proxy.protocol === 'https:' ? 443 : 80),
      path: target,
      headers: { host: target, ...proxyAuthorization(this.#proxy) },
      agent: false,
      timeout: CONNECT_MS,
    })
    const failed = (why: string) =>
      done?.(
        Object.assign(new Error(`the proxy ${this.#proxy.host} ${why}`), { code: 'ERR_PROXY' }),
        undefined as never,
      )
    connect.once('connect', ({ statusCode }: IncomingMessage, socket: Socket) => {
      if (statusCode !== 200) {
        socket.destroy()
        return failed(`answered ${statusCode} for ${target}`)
      }
      done?.(null, tlsConnect({ ...(options as object), socket, servername: servername ?? host }) as never)
    })
    connect.once('timeout', () => connect.destroy(new Error('does not answer')))
    connect.once('error', ({ message }) => failed(`cannot be used: ${message}`))
    connect.end()
    return undefined
  }
}

function proxyAuthorization({ username, password }: URL): Record<string, string> {
  if (username === '') return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` }
}
