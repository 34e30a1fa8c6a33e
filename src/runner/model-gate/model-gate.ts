import { once } from 'node:events'
import { chmodSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Agent } from '../../agents/agent.ts'
import { ErrandError, isErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Log } from '../../platform/log.ts'
import { socketPath } from '../../platform/socket-path.ts'
import type { Variables } from '../proxy/model-access.ts'
import { ModelProxy } from '../proxy/model-proxy.ts'
import type { Prices } from '../proxy/prices.ts'
import { ENDPOINT_PORT, type EndpointRules } from '../proxy/rules.ts'
import { serialized } from '../proxy/serialized.ts'
import { ACCESS_FILE, type GateAccess, gateRules, RUNNER_SOCKET } from './gate-access.ts'

export interface ModelGateOptions {
  /** Folder that it shares with its runner. */
  folder: string
  agents: readonly Pick<Agent, 'keys' | 'secrets' | 'services'>[]
  /** Environment with the keys. */
  env: Variables
  prices?: Prices
  /** Port at 127.0.0.1. Default 3128; 0: any. */
  port?: number
  log: Log
}

/**
 * Answers model requests for a runner that has no keys: a separate process or container with another user. It ends when
 * its runner has gone.
 */
export class ModelGate {
  /** Resolves when the runner has come and gone. */
  readonly left: Promise<void>
  readonly #runners: Runners
  readonly #close: () => Promise<void>

  /** Opens the gate. Throws `invalid_argument` if there is nothing to replace, `unavailable` if it cannot listen. */
  static async open(options: ModelGateOptions): Promise<ModelGate> {
    const { folder, agents, env, prices, port = ENDPOINT_PORT, log } = options
    const proxy = new ModelProxy({ prices })
    const rules: EndpointRules = {
      ...{ version: 1, key: 'gate', network: 'models', never: [], models: [], budget: {} },
    }
    const timeouts = { requestTimeout: 0, headersTimeout: HEADERS_MS, keepAliveTimeout: IDLE_MS }
    const answer = serialized((request, response) => void proxy.handle(request, response, rules, () => {}))
    const server = createServer(timeouts, answer)
    const runners = new Runners()
    try {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
      const { models, env: gateEnv, left } = gateRules(agents, env, (server.address() as AddressInfo).port)
      rules.models = models
      if (left.length > 0)
        log(`The model gate cannot replace ${left.join(', ')}. Agents do not get them.`, { level: 'warn' })
      await runners.listen(folder)
      const access: GateAccess = { version: 1, env: gateEnv }
      // For a runner with another user. The content is secret only for that runner.
      writeFileAtomic(join(folder, ACCESS_FILE), JSON.stringify(access), { mode: 0o644, durable: false })
    } catch (cause) {
      server.close()
      runners.close()
      if (isErrandError(cause)) throw cause
      throw new ErrandError('unavailable', `The model gate cannot be opened: ${(cause as Error).message}.`, {
        hint: `It needs write access to the folder ${folder}, and port ${port} of 127.0.0.1.`,
        cause,
      })
    }
    return new ModelGate(runners, async () => {
      rmSync(join(folder, ACCESS_FILE), { force: true })
      runners.close()
      server.close()
      await proxy.close()
      server.closeAllConnections()
      if (server.listening) await once(server, 'close')
    })
  }

  private constructor(runners: Runners, close: () => Promise<void>) {
    this.left = runners.left
    this.#runners = runners
    this.#close = close
  }

  /** If no runner is there, it counts as gone from now on. */
  leaveUnused(): void {
    this.#runners.leaveUnused()
  }

  /** Ends what is in progress. Idempotent. */
  async close(): Promise<void> {
    await this.#close()
  }
}

const HEADERS_MS = 60_000
const IDLE_MS = 65_000

/** Manages the socket to which the runner stays connected. */
class Runners {
  readonly left: Promise<void>
  readonly leaveUnused: () => unknown
  readonly #there = new Set<Socket>()
  readonly #server
  #path: ReturnType<typeof socketPath> | undefined

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.left = promise
    this.leaveUnused = () => this.#there.size === 0 && resolve()
    this.#server = createSocketServer((socket) => {
      this.#there.add(socket)
      socket.on('error', () => {}).resume()
      socket.once('close', () => {
        this.#there.delete(socket)
        this.leaveUnused()
      })
    })
  }

  async listen(folder: string): Promise<void> {
    const file = join(folder, RUNNER_SOCKET)
    rmSync(file, { force: true })
    this.#path = socketPath(file)
    this.#server.listen(this.#path.path)
    await once(this.#server, 'listening')
    // For a runner with another user.
    chmodSync(file, 0o666)
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#there) socket.destroy()
    this.#path?.close()
  }
}
