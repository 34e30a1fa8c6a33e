import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { removeTree } from '../../platform/files.ts'
import { lockHolder, takePidLock } from '../../platform/pid-lock.ts'
import { procText } from '../../platform/proc.ts'
import { type SocketPath, socketPath } from '../../platform/socket-path.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import { systemLookup } from '../git/server-addresses.ts'
import { ClosedPlaces, type Lookup } from './addresses.ts'
import type { Dial } from './egress.ts'
import { type ModelRequests, ProxyEndpoint } from './endpoint.ts'
import { closeEndpoint } from './endpoint-log.ts'
import { FOLDER_TAKEN, isForsaken } from './rules.ts'

export interface ProxyOptions {
  /** Folder of its state: `control`, `doors`. Only one process uses it. */
  folder: string
  version: string
  /** Time in ms without an endpoint after which the proxy ends (default: a minute). */
  aloneMs?: number
  lookup?: Lookup
  dial?: Dial
  /** Limit in ms for a look-up, and for a connection (default: 10 s each). */
  connectMs?: number
  /** Limit of connections for all endpoints (default: as many as there are descriptors for). */
  mostConnections?: number
  /** Makes what answers the model requests of an endpoint, given the folder of the endpoint. */
  models?: (endpointFolder: string) => ModelRequests
}

/**
 * Runs the proxy of its folder until it has nothing to do any more, or is told to end. Its process has no other work.
 */
export async function runProxy(options: ProxyOptions): Promise<void> {
  const lock = takePidLock(join(options.folder, 'lock'))
  if ('holder' in lock) {
    console.error(`process ${lock.holder.pid} is the proxy of ${options.folder}`)
    process.exit(FOLDER_TAKEN)
  }
  let ends = false
  const end = () => {
    if (ends) return
    ends = true
    void server.stop().finally(() => {
      lock.release()
      process.exit(0)
    })
  }
  const server = new ProxyServer({ ...options, onEnd: end })
  // An error in a request of one box must not end all others' connections.
  let faults = 0
  process.on('uncaughtException', (error) => {
    if (++faults <= MOST_FAULTS) console.error(error)
  })
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, end)
  await server.start()
  setInterval(() => {
    // Its folder was removed, with everything behind its endpoints.
    if (lockHolder(join(options.folder, 'lock'))?.pid !== process.pid) end()
    else void server.removeForsaken()
  }, FOLDER_LOOK_MS).unref()
}

const ALONE_MS = 60_000
/** Limit for errors in the log. */
const MOST_FAULTS = 100
/** Time in ms without endpoints and a runner after which the proxy ends. */
const UNWATCHED_MS = 2_000
const FOLDER_LOOK_MS = 1_000
/**
 * Time in ms without watcher and traffic after which the proxy ends: its runner is gone for good, and so is what was
 * behind its endpoints.
 */
const FORGOTTEN_MS = 24 * 60 * 60_000
/** Number of descriptors reserved for other uses than connections. */
const OTHER_FILES = 100
const ENDPOINT_ID = /^[\w-]{1,128}$/

/** Serves all endpoints of one machine's attempts, and the socket through which its runner opens and closes them. */
class ProxyServer {
  readonly #options: Required<Pick<ProxyOptions, 'lookup'>> & ProxyOptions & { onEnd(): void }
  readonly #endpoints = new Map<string, ProxyEndpoint>()
  /** Pending changes by endpoint, applied one after the other. */
  readonly #changes = new KeyedMutex()
  readonly #closed: ClosedPlaces
  readonly #control: Server
  readonly #mostConnections: number
  readonly #watchers = new Set<ServerResponse>()
  #path: SocketPath | undefined
  #alone: NodeJS.Timeout | undefined
  #endsWhenIdle = false
  #ended = false

  /** Takes `onEnd`, called when it has nothing to do any more, or was told to end. */
  constructor(options: ProxyOptions & { onEnd(): void }) {
    this.#options = { lookup: systemLookup, ...options }
    this.#mostConnections = options.mostConnections ?? mostConnections()
    this.#closed = new ClosedPlaces(this.#options.lookup)
    this.#control = createServer((request, response) => void this.#answer(request, response))
  }

  /** Opens all endpoints that have rules, then the control socket. */
  async start(): Promise<void> {
    const endpoints = join(this.#options.folder, 'doors')
    mkdirSync(endpoints, { recursive: true, mode: 0o700 })
    for (const id of readdirSync(endpoints)) {
      if (!existsSync(join(endpoints, id, 'rules.json'))) continue
      // An endpoint with invalid rules stays closed; its runner gets the error when it asks for the endpoint.
      await this.#open(id).catch((error: Error) => console.error(`door ${id}: ${error.message}`))
    }
    const control = join(this.#options.folder, 'control')
    rmSync(control, { force: true })
    this.#path = socketPath(control)
    const before = process.umask(0o177)
    try {
      this.#control.listen(this.#path.path)
      await once(this.#control, 'listening')
    } finally {
      process.umask(before)
    }
    this.#changed()
  }

  /** Ends all connections; a later process opens the endpoints again. */
  async stop(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#alone)
    const closed = once(this.#control, 'close')
    this.#control.close()
    await Promise.all([...this.#endpoints.values()].map((endpoint) => endpoint.close({ forGood: false })))
    this.#control.closeAllConnections()
    await closed
    this.#path?.close()
  }

  /** Closes the endpoints of attempts that are gone, while no runner is there to do it. */
  async removeForsaken(): Promise<void> {
    if (this.#watchers.size > 0) return
    for (const id of this.#endpoints.keys()) {
      try {
        if (!isForsaken(this.#folder(id))) continue
        await this.#changes.run(id, () => this.#shut(id))
        await removeTree(this.#folder(id))
      } catch {
        // It is just being created or removed, or is checked another time.
      }
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, kind = '', id = ''] = (request.url ?? '').split('/')
    const route = `${request.method} ${kind}`
    const answer = (status: number, body: unknown = {}) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    try {
      if (route === 'GET health') answer(200, this.#health())
      else if (route === 'GET watch') this.#watched(response)
      else if (route === 'POST quit' && id === 'unused') {
        const isUnused = this.#endpoints.size === 0 && this.#changes.size === 0 && this.#watchers.size <= 1
        answer(200, { ends: isUnused })
        if (isUnused) this.#options.onEnd()
      } else if (route === 'POST quit') {
        this.#endsWhenIdle = id === 'idle'
        const ends = !this.#endsWhenIdle || this.#openCount() === 0
        answer(200, { ends })
        if (ends) this.#options.onEnd()
      } else if (route === 'PUT doors' && ENDPOINT_ID.test(id)) {
        await this.#changes.run(id, () => this.#open(id))
        answer(200)
      } else if (route === 'DELETE doors' && ENDPOINT_ID.test(id)) {
        await this.#changes.run(id, () => this.#shut(id))
        answer(200)
      } else answer(404)
    } catch (error) {
      answer(400, { message: (error as Error).message })
    }
  }

  #health() {
    const { version } = this.#options
    const connections = this.#connections()
    return { version, pid: process.pid, doors: this.#endpoints.size, open: this.#openCount(), connections }
  }

  /** Sends an answer without end, whose breaking off tells the runner that this process has ended. */
  #watched(response: ServerResponse): void {
    this.#watchers.add(response)
    response.once('close', () => {
      this.#watchers.delete(response)
      this.#changed()
    })
    response.writeHead(200).flushHeaders()
    this.#changed()
  }

  async #open(id: string): Promise<void> {
    const known = this.#endpoints.get(id)
    if (known) return known.reread()
    const { lookup, dial, connectMs, models } = this.#options
    const folder = this.#folder(id)
    const endpoint = await ProxyEndpoint.open({
      ...{ folder, lookup, dial, connectMs },
      closed: this.#closed,
      models: models && (() => models(folder)),
      // However many connections a box has, as many are left for others.
      hasRoom: (held) => held < this.#mostConnections - this.#connections(),
      onGone: () => this.#endsWhenIdle && this.#openCount() === 0 && this.#options.onEnd(),
    })
    this.#endpoints.set(id, endpoint)
    this.#changed()
  }

  async #shut(id: string): Promise<void> {
    const endpoint = this.#endpoints.get(id)
    this.#endpoints.delete(id)
    if (endpoint) await endpoint.close({ forGood: true })
    else if (existsSync(this.#folder(id))) closeEndpoint(this.#folder(id))
    this.#changed()
  }

  readonly #folder = (id: string): string => join(this.#options.folder, 'doors', id)

  #connections(): number {
    return [...this.#endpoints.values()].reduce((sum, endpoint) => sum + endpoint.connections, 0)
  }

  #openCount(): number {
    return [...this.#endpoints.values()].reduce((sum, endpoint) => sum + endpoint.open, 0)
  }

  /** Schedules the end of the process, some time after its last endpoint was closed, or its last runner was seen. */
  #changed(): void {
    clearTimeout(this.#alone)
    if (this.#ended || (this.#endpoints.size > 0 && this.#watchers.size > 0)) return
    const { aloneMs = ALONE_MS } = this.#options
    const withoutEndpoints = this.#watchers.size === 0 ? Math.min(aloneMs, UNWATCHED_MS) : aloneMs
    const waitMs = this.#endpoints.size === 0 ? withoutEndpoints : FORGOTTEN_MS
    this.#alone = setTimeout(() => {
      if (this.#openCount() === 0) this.#options.onEnd()
      else this.#changed()
    }, waitMs)
  }
}

/** Returns the limit; each connection takes two descriptors. */
function mostConnections(): number {
  const most = Number(/^Max open files\s+\S+\s+(\d+)/m.exec(procText('self', 'limits') ?? '')?.[1] ?? 1024)
  return Math.max(16, Math.floor((most - OTHER_FILES) / 2))
}
