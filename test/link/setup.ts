import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import { Fleet, type FleetOptions } from '../../src/hub/fleet/fleet.ts'
import { HubLink, type HubLinkOptions } from '../../src/runner/link/hub-link.ts'
import type { Attempts } from '../../src/runner/ports.ts'

export const TOKEN = 'the-right-token'
const DEADLINE_MS = 120_000

/** A hub that consists only of a fleet, which can be replaced as in a restart. */
export class HubSetup {
  readonly server: Server
  readonly logged: string[] = []
  fleet: Fleet
  readonly #options: Partial<FleetOptions>

  private constructor(server: Server, options: Partial<FleetOptions>) {
    this.server = server
    this.#options = options
    this.fleet = this.newFleet()
  }

  static async open(options: Partial<FleetOptions> = {}): Promise<HubSetup> {
    const server = createServer()
    const hub = new HubSetup(server, options)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return hub
  }

  newFleet(): Fleet {
    this.fleet = new Fleet({
      authenticate: async (token) =>
        token === TOKEN ? { tenant: 'acme' } : { refused: 'The token is not known here.' },
      isDurable: (action) => action !== 'noop',
      log: (message) => this.logged.push(message),
      ...this.#options,
    })
    this.fleet.attach(this.server)
    return this.fleet
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  async close(): Promise<void> {
    await this.fleet.close()
    this.server.close()
    await once(this.server, 'close')
  }
}

export interface RunnerSetup {
  link: HubLink
  /** Resolves when the link has ended. */
  done: Promise<unknown>
  logged: string[]
}

export function openRunner(
  url: string,
  attempts: Attempts,
  identity: Partial<HubLinkOptions['identity']> = {},
  options: Partial<HubLinkOptions> = {},
): RunnerSetup {
  const logged: string[] = []
  const link = new HubLink({
    url,
    token: TOKEN,
    attempts,
    log: (message) => logged.push(message),
    identity: {
      version: '0.1.0',
      runner_id: 'r1',
      group: 'default',
      labels: {},
      mode: 'all',
      hostname: 'server-01',
      cpus: 4,
      memory_bytes: 8 * 1024 ** 3,
      slots: 4,
      ...identity,
    },
    ...options,
  })
  const done = link.run()
  done.catch(() => {})
  return { link, done, logged }
}

let count = 0
export function spec(change: Partial<AttemptSpec> = {}): AttemptSpec {
  count++
  return {
    attempt_id: `run_${count}.1`,
    run_id: `run_${count}`,
    workflow_name: 'flow',
    tenant: 'acme',
    step: 'work',
    host: 'box',
    instance: 0,
    try: 1,
    action: 'cmd.run',
    args: {},
    env: {},
    requires: {},
    ...change,
  }
}

/** Resolves when the condition holds. Fails with `what` after a time that no healthy run takes. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (const endMs = Date.now() + DEADLINE_MS; !holds(); await sleep(5))
    if (Date.now() > endMs) throw new Error(`Not within ${DEADLINE_MS} ms: ${what}`)
}
