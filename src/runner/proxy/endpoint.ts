import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type SocketPath, socketPath } from '../../platform/socket-path.ts'
import type { ClosedPlaces, Lookup } from './addresses.ts'
import { type Dial, Egress } from './egress.ts'
import { closeEndpoint, EndpointLog } from './endpoint-log.ts'
import { EndpointRules, type LogEntry } from './rules.ts'
import { serialized } from './serialized.ts'

/** Answers the requests of an endpoint for its model services. */
export interface ModelRequests {
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    rules: EndpointRules,
    append: (line: LogEntry) => void,
  ): Promise<void>
  /** Ends what is in progress; resolves once that is reported. */
  close(): Promise<void>
}

export interface EndpointOptions {
  /** Folder of this endpoint. */
  folder: string
  closed: ClosedPlaces
  lookup: Lookup
  dial?: Dial
  connectMs?: number
  /** Makes what answers model requests; absent if there are none. */
  models?: () => ModelRequests
  /** Reports whether the limit for all endpoints leaves room for another connection of an endpoint that has `held`. */
  hasRoom(held: number): boolean
  /** Called when a connection is gone. */
  onGone(): void
}

/** Limit for connections of one endpoint; further ones are closed at once. */
export const MOST_CONNECTIONS = 512
const HEADERS_MS = 60_000
const IDLE_MS = 65_000

/** Listens on a socket through which exactly one box reaches others: the socket identifies the box of a request. */
export class ProxyEndpoint {
  readonly #folder: string
  readonly #server: Server
  readonly #sockets = new Set<Duplex>()
  readonly #log: EndpointLog
  readonly #egress: Egress
  readonly #models: ModelRequests | undefined
  readonly #path: SocketPath
  #rules: EndpointRules
  /** Number of requests and tunnels in progress. */
  #open = 0

  /** Opens the endpoint. Throws if its rules are invalid, or its folder cannot be used. */
  static async open(options: EndpointOptions): Promise<ProxyEndpoint> {
    const endpoint = new ProxyEndpoint(options)
    try {
      await endpoint.#listen()
    } catch (error) {
      endpoint.#path.close()
      endpoint.#log.close({ used: false })
      throw error
    }
    return endpoint
  }

  private constructor({ folder, closed, lookup, dial, connectMs, models, hasRoom, onGone }: EndpointOptions) {
    this.#folder = folder
    this.#rules = readRules(folder)
    this.#log = new EndpointLog(folder)
    this.#models = models?.()
    this.#egress = new Egress({
      ...{ log: this.#log, closed, lookup, dial, connectMs },
      rules: () => this.#rules,
    })
    const inside = join(folder, 'in')
    mkdirSync(inside, { recursive: true })
    rmSync(join(inside, 'proxy'), { force: true })
    this.#path = socketPath(join(inside, 'proxy'))
    const timeouts = { requestTimeout: 0, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS }
    const answer = serialized((request, response) => {
      this.#count(response, onGone)
      void this.#answer(request, response)
    })
    this.#server = createServer(timeouts, answer)
    this.#server.maxConnections = MOST_CONNECTIONS
    this.#server.on('connection', (socket) => {
      if (!hasRoom(this.#sockets.size)) return void socket.destroy()
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('connect', (request, socket, head) => {
      this.#count(socket, onGone)
      void this.#egress.connect(request, socket, head)
    })
    this.#server.on('clientError', (_error, socket) => {
      if (!socket.writable) return void socket.destroy()
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n', () => socket.destroy())
    })
  }

  get open(): number {
    return this.#open
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Reads its rules again. Throws if they are invalid; the old ones stay in force. */
  reread(): void {
    this.#rules = readRules(this.#folder)
  }

  /**
   * Closes the endpoint. `forGood` reports what was used and deletes its rules; otherwise a later process opens it
   * again.
   */
  async close({ forGood }: { forGood: boolean }): Promise<void> {
    await this.#models?.close()
    this.#egress.close()
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
    this.#path.close()
    this.#log.close({ used: forGood })
    if (forGood) closeEndpoint(this.#folder)
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#path.path)
    await once(this.#server, 'listening')
    // Only this user has the folders above; in a container, another user may connect.
    chmodSync(this.#path.path, 0o666)
  }

  #count(one: Duplex | ServerResponse, onGone: () => void): void {
    this.#open++
    one.once('close', () => {
      this.#open--
      onGone()
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? ''
    if (!url.startsWith('/')) return await this.#egress.request(request, response)
    if (url !== '/' && !url.startsWith('/model/'))
      return refuse(response, 404, 'This is the proxy of a runner.')
    if (!this.#models) return refuse(response, 501, 'This proxy has no model services.')
    await this.#models.handle(request, response, this.#rules, this.#log.append)
  }
}

/** Reads the rules. Throws if they cannot be read, or are of another version. */
function readRules(folder: string): EndpointRules {
  return EndpointRules.parse(JSON.parse(readFileSync(join(folder, 'rules.json'), 'utf8')))
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`)
}
