import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type SocketPath, socketPath } from '../../platform/socket-path.ts'
import type { ClosedPlaces, Lookup } from './addresses.ts'
import { type Dial, Egress } from './egress.ts'
import { oneByOne } from './one-by-one.ts'
import { DoorRules, type Told } from './rules.ts'
import { shutDoor, Teller } from './telling.ts'

/** The one who answers the requests of a door for its services of models. */
export interface ModelRequests {
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    rules: DoorRules,
    tell: (line: Told) => void,
  ): Promise<void>
  /** Ends what is under way; resolves once that is told. */
  close(): Promise<void>
}

export interface DoorOptions {
  /** Of this door. */
  folder: string
  closed: ClosedPlaces
  lookup: Lookup
  dial?: Dial
  connectMs?: number
  /** Absent: there are none. */
  models?: () => ModelRequests
  /** Whether there is room among the connections of all doors for another one of a door that has so many. */
  hasRoom(held: number): boolean
  /** A connection has gone. */
  onGone(): void
}

/** Connections of one door at a time; more are closed at once. */
export const MOST_CONNECTIONS = 512
const HEADERS_MS = 60_000
const IDLE_MS = 65_000

/** A socket by which one box, and only that, reaches others: which one a request comes by says whose it is. */
export class Door {
  readonly #folder: string
  readonly #server: Server
  readonly #sockets = new Set<Duplex>()
  readonly #teller: Teller
  readonly #egress: Egress
  readonly #models: ModelRequests | undefined
  readonly #path: SocketPath
  #rules: DoorRules
  /** Requests and tunnels that are under way. */
  #open = 0

  /** Opens it. Throws where its rules are none, or its folder cannot be used. */
  static async open(options: DoorOptions): Promise<Door> {
    const door = new Door(options)
    try {
      await door.#listen()
    } catch (error) {
      door.#path.close()
      door.#teller.close({ used: false })
      throw error
    }
    return door
  }

  private constructor({ folder, closed, lookup, dial, connectMs, models, hasRoom, onGone }: DoorOptions) {
    this.#folder = folder
    this.#rules = readRules(folder)
    this.#teller = new Teller(folder)
    this.#models = models?.()
    this.#egress = new Egress({
      ...{ teller: this.#teller, closed, lookup, dial, connectMs },
      rules: () => this.#rules,
    })
    const inside = join(folder, 'in')
    mkdirSync(inside, { recursive: true })
    rmSync(join(inside, 'proxy'), { force: true })
    this.#path = socketPath(join(inside, 'proxy'))
    const timeouts = { requestTimeout: 0, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS }
    const answer = oneByOne((request, response) => {
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

  /** Takes its rules anew. Throws where they are none; then the old ones hold. */
  reread(): void {
    this.#rules = readRules(this.#folder)
  }

  /** `forGood`: what was used is told, and its rules are gone; else it is opened again by a later process. */
  async close({ forGood }: { forGood: boolean }): Promise<void> {
    await this.#models?.close()
    this.#egress.close()
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
    this.#path.close()
    this.#teller.close({ used: forGood })
    if (forGood) shutDoor(this.#folder)
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#path.path)
    await once(this.#server, 'listening')
    // The folders above are nobody else's; in a container another user may ask.
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
    if (!this.#models) return refuse(response, 501, 'This proxy knows no services of models.')
    await this.#models.handle(request, response, this.#rules, this.#teller.tell)
  }
}

/** Throws where they cannot be read, or are of another version. */
function readRules(folder: string): DoorRules {
  return DoorRules.parse(JSON.parse(readFileSync(join(folder, 'rules.json'), 'utf8')))
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`)
}
