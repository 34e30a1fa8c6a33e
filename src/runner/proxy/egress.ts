import { createServer, type IncomingMessage, request as requestTo, type ServerResponse } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Refusal, refusals } from '../../contract/isolation.ts'
import { within } from '../../platform/races.ts'
import { Semaphore } from '../../platform/sync.ts'
import {
  type Allowance,
  allowance,
  type ClosedPlaces,
  type Lookup,
  parseTarget,
  refusedAddress,
  type Target,
} from './addresses.ts'
import { clientHello, MOST_HELLO_BYTES } from './client-hello.ts'
import type { EndpointLog } from './endpoint-log.ts'
import type { EndpointRules } from './rules.ts'
import { serialized } from './serialized.ts'

/** Opens a connection to one of these addresses. */
export type Dial = (addresses: readonly string[], port: number) => Socket

export interface EgressOptions {
  rules(): EndpointRules
  log: EndpointLog
  closed: ClosedPlaces
  lookup: Lookup
  dial?: Dial
  /** Limit in ms for a look-up, and for a connection (default: 10 s each). */
  connectMs?: number
}

const CONNECT_MS = 10_000
/** Limit in ms for the first message of TLS, once the connection is open. */
const HELLO_MS = 30_000
const KEEP_ALIVE_MS = 60_000
/** Limit per box, so that one box cannot occupy all threads of this process with look-ups. */
const LOOKUPS_AT_ONCE = 4

/** Headers of RFC 9110 section 7.6.1, and those meant for a proxy. Node handles framing. */
const HOP_BY_HOP = [
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'expect'],
]
/** TLS alert that its clients display. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112])

/** Thrown if no connection can be made; answered with the reason. */
class Unreachable extends Error {
  readonly status: 502 | 504

  constructor(message: string, status: 502 | 504 = 502) {
    super(message)
    this.status = status
  }
}

class Refused extends Error {
  readonly why: Refusal

  constructor(why: Refusal) {
    super(refusals[why])
    this.why = why
  }
}

/** Sends the requests of a box to other machines, each according to the rules of its endpoint. */
export class Egress {
  readonly #options: EgressOptions
  readonly #lookups = new Semaphore(LOOKUPS_AT_ONCE)
  /** Connections to others, which end with the endpoint. */
  readonly #open = new Set<Duplex>()
  readonly #targets = new WeakMap<object, Target>()
  /** Serves the requests that come through a tunnel to port 80. */
  readonly #tunneled = createServer(
    { keepAliveTimeout: KEEP_ALIVE_MS },
    serialized((request, response) =>
      this.#forward(this.#targets.get(request.socket)!, request.url ?? '', request, response),
    ),
  )

  constructor(options: EgressOptions) {
    this.#options = options
    this.#tunneled.on('clientError', (_error, socket) => socket.destroy())
  }

  close(): void {
    this.#tunneled.close()
    for (const socket of this.#open) socket.destroy()
  }

  /** Handles a request with an absolute URL, for a server without TLS. */
  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = /^http:\/\/([^/?#]*)([^#]*)/i.exec(request.url ?? '')
    const target = url === null ? 'bad_request' : parseTarget(url[1]!, 80)
    if (typeof target === 'string') return this.#refuse(response, { host: '', port: 0 }, new Refused(target))
    const path = url![2]!.startsWith('/') ? url![2]! : `/${url![2]}`
    await this.#forward(target, path, request, response)
  }

  /**
   * Opens a tunnel. It carries TLS, whose server name is checked; to a port that a rule names, anything; to port 80,
   * requests.
   */
  async connect(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy())
    this.#hold(socket)
    const target = parseTarget(request.url ?? '')
    try {
      if (typeof target === 'string') throw new Refused(target)
      const { addresses, anything } = await this.#way(target)
      if (target.port === 80) {
        if (socket.readableEnded) return void socket.destroy()
        // Each request in it is checked again.
        socket.write(ESTABLISHED)
        if (head.length > 0) socket.unshift(head)
        this.#targets.set(socket, target)
        this.#tunneled.emit('connection', socket)
        return
      }
      const upstream = await this.#dial(target, addresses, socket)
      socket.write(ESTABLISHED)
      this.#tunnel(target, anything, socket, upstream, head)
    } catch (error) {
      const at = typeof target === 'string' ? { host: '', port: 0 } : target
      const { status, text } = this.#answer(error, at)
      socket.end(
        `HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
      )
      // Remaining data is not read forever.
      socket.resume().once('finish', () => socket.destroy())
    }
  }

  #tunnel(target: Target, anything: boolean, socket: Duplex, upstream: Socket, head: Buffer): void {
    joinEnds(upstream, socket)
    // A server may speak first.
    upstream.pipe(socket)
    let seen = head
    const ended = () => (anything || seen.length === 0 ? pass() : refuse('no_tls'))
    const late = setTimeout(() => (anything ? undefined : refuse('no_tls')), HELLO_MS).unref()
    const stopLooking = () => {
      clearTimeout(late)
      socket.off('data', more).off('end', ended).pause()
    }
    const pass = () => {
      stopLooking()
      if (seen.length > 0) upstream.write(seen)
      socket.pipe(upstream)
    }
    const refuse = (why: Refusal, host = target.host) => {
      stopLooking()
      this.#options.log.refused(host, target.port, why)
      upstream.unpipe(socket).destroy()
      socket.end(UNRECOGNIZED_NAME, () => socket.destroy())
    }
    const look = () => {
      const hello = clientHello(seen)
      if (hello.type === 'more' && seen.length < MOST_HELLO_BYTES) return
      const named = hello.type === 'tls' ? hello.name : undefined
      if (named !== undefined && named !== target.host) refuse('name_mismatch', named)
      else if (anything || named !== undefined || (hello.type === 'tls' && isIP(target.host) !== 0)) pass()
      else refuse('no_tls')
    }
    const more = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      look()
    }
    socket.once('close', () => clearTimeout(late))
    socket.on('data', more).once('end', ended).resume()
    if (seen.length > 0) look()
    // The client may have half closed during the look-up; if all its data was seen, the end is passed on.
    if (socket.readableEnded && socket.listeners('end').includes(ended)) ended()
  }

  async #forward(
    target: Target,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    response.on('error', () => response.destroy())
    try {
      if (!path.startsWith('/') && path !== '*') throw new Refused('bad_request')
      const hosts = valuesOf(request.rawHeaders, 'host')
      const host = hosts.length === 1 ? parseTarget(hosts[0]!, 80) : 'bad_request'
      if (typeof host === 'string') throw new Refused('bad_request')
      if (host.host !== target.host || host.port !== target.port) throw new Refused('name_mismatch')
      const { addresses } = await this.#way(target)
      const upstream = await this.#dial(target, addresses, response)
      this.#exchange(target, path, { request, response }, upstream)
    } catch (error) {
      this.#refuse(response, target, error)
    }
  }

  #exchange(
    target: Target,
    path: string,
    { request, response }: { request: IncomingMessage; response: ServerResponse },
    upstream: Socket,
  ): void {
    const chunked = request.headers['transfer-encoding'] !== undefined
    const connect = requestTo({
      createConnection: () => upstream,
      method: request.method,
      path,
      headers: [
        ...passedOn(request.rawHeaders),
        ...(chunked ? ['Transfer-Encoding', 'chunked'] : []),
        ...['Connection', 'close'],
      ],
      setHost: false,
    })
    const failed = (error: Error) => {
      if (response.headersSent) response.destroy()
      else
        this.#refuse(
          response,
          target,
          new Unreachable(`The connection to ${target.host} failed: ${error.message}.`),
        )
      upstream.destroy()
    }
    connect.on('error', failed)
    connect.on('upgrade', (_answer, socket) => {
      socket.destroy()
      failed(new Error('it switched protocols without being asked'))
    })
    connect.on('response', (answer) => {
      answer.on('error', failed)
      answer.on('aborted', () => failed(new Error('its answer was cut off')))
      try {
        response.sendDate = false
        response.writeHead(answer.statusCode!, answer.statusMessage, passedOn(answer.rawHeaders))
        answer.pipe(response)
      } catch (error) {
        failed(error as Error)
      }
    })
    response.on('close', () => upstream.destroy())
    if (chunked || request.headers['content-length'] !== undefined) request.pipe(connect)
    else connect.end()
  }

  #allowed(target: Target): Allowance {
    const allowed = allowance(this.#options.rules().network, target)
    if (typeof allowed === 'string') throw new Refused(allowed)
    return allowed
  }

  /** Returns the addresses of a target, all of them checked; nothing is resolved up again. */
  async #way(target: Target): Promise<{ addresses: readonly string[]; anything: boolean }> {
    const { rules, closed } = this.#options
    const allowed = this.#allowed(target)
    const addresses = isIP(target.host) ? [target.host] : await this.#found(target.host)
    for (const address of addresses) {
      const why = refusedAddress(address, allowed)
      if (why !== undefined) throw new Refused(why)
    }
    if (await closed.has(rules().never, target, addresses)) throw new Refused('own_address')
    return { addresses, anything: allowed.anything }
  }

  /**
   * Looks up a name, with a time limit. The look-up keeps its turn until it really ends, which takes far longer with
   * silent name servers.
   */
  async #found(host: string): Promise<readonly string[]> {
    const { lookup, connectMs = CONNECT_MS } = this.#options
    let over = false
    try {
      const resolved = this.#lookups.run(async () => (over ? [] : await lookup(host)))
      const addresses = await within(connectMs, resolved, () => {
        throw new Error('no name server answered')
      })
      if (addresses.length > 0 && addresses.every((address) => isIP(address) !== 0)) return addresses
      throw new Error('it has none')
    } catch (error) {
      throw new Unreachable(`The address of ${host} cannot be found: ${(error as Error).message}.`)
    } finally {
      over = true
    }
  }

  /** Connects, unless the client leaves first. */
  #dial(target: Target, addresses: readonly string[], client: Duplex | ServerResponse): Promise<Socket> {
    const { dial = dialAny, log, connectMs = CONNECT_MS } = this.#options
    return new Promise((resolve, reject) => {
      if (client.destroyed) return reject(new Unreachable('The client has left.'))
      const upstream = dial(addresses, target.port)
      this.#hold(upstream)
      const end = (error: Error) => {
        clearTimeout(timer)
        upstream.destroy()
        reject(error)
      }
      const timer = setTimeout(() => end(new Unreachable(`${target.host} does not answer.`, 504)), connectMs)
      const gone = () => end(new Unreachable('The client has left.'))
      client.once('close', gone)
      upstream.once('error', (error) =>
        end(new Unreachable(`${target.host} cannot be reached: ${error.message}.`)),
      )
      upstream.once('connect', () => {
        clearTimeout(timer)
        client.off('close', gone)
        upstream.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true)
        log.count(target.host, upstream)
        // The users of this socket learn of the error in other ways; without a listener it would end this process.
        upstream.on('error', () => undefined)
        resolve(upstream)
      })
    })
  }

  #hold(socket: Duplex): void {
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
  }

  #refuse(response: ServerResponse, target: Target, error: unknown): void {
    const { status, text } = this.#answer(error, target)
    if (response.headersSent || response.destroyed) return void response.destroy()
    const [code, ...words] = status.split(' ')
    const headers = {
      'content-type': 'text/plain',
      'content-length': Buffer.byteLength(text),
      connection: 'close',
    }
    response.writeHead(Number(code), words.join(' '), headers).end(text)
  }

  /** Returns the answer for an error, and reports a refusal. */
  #answer(error: unknown, { host, port }: Target): { status: string; text: string } {
    if (error instanceof Refused) {
      if (host !== '') this.#options.log.refused(host, port, error.why)
      const status = host === '' || error.why === 'bad_request' ? '400 Bad Request' : '403 Forbidden'
      const at = host === '' ? 'This request' : `${host}:${port}`
      return {
        status,
        text: `${at} is refused by the network of this run (${error.why}): ${error.message}.\n`,
      }
    }
    if (error instanceof Unreachable) {
      const status = error.status === 504 ? '504 Gateway Timeout' : '502 Bad Gateway'
      return { status, text: `${error.message}\n` }
    }
    console.error(error)
    return { status: '500 Internal Server Error', text: 'The proxy failed.\n' }
  }
}

const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/** Ties two connections together: a broken one ends the other, but a half-closed one may still receive. */
function joinEnds(upstream: Socket, client: Duplex): void {
  upstream.on('error', () => client.destroy())
  upstream.once('close', (cut) => cut && client.destroy())
  client.once('close', () => {
    // Data sent before is still passed on, unless nobody takes it.
    if (upstream.writableEnded) upstream.setTimeout(KEEP_ALIVE_MS, () => upstream.destroy()).destroySoon()
    else upstream.destroy()
  })
}

const dialAny: Dial = (addresses, port) =>
  connect({
    host: 'looked-up.invalid',
    port,
    allowHalfOpen: true,
    autoSelectFamily: true,
    lookup: (_name, _options, done) =>
      done(
        null,
        addresses.map((address) => ({ address, family: isIP(address) })),
      ),
  })

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name)
}

/** Returns the headers unchanged, without those of one connection and those that `connection` names. */
function passedOn(rawHeaders: readonly string[]): string[] {
  const named = valuesOf(rawHeaders, 'connection').flatMap((value) => value.toLowerCase().split(/\s*,\s*/))
  const dropped = new Set([
    ...HOP_BY_HOP,
    ...named.filter((name) => !['host', 'content-length'].includes(name)),
  ])
  return rawHeaders.filter((_, index) => !dropped.has(rawHeaders[index - (index % 2)]!.toLowerCase()))
}
