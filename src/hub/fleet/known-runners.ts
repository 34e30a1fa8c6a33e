import { PROTOCOL_VERSION } from '../../contract/protocol.ts'
import type { AccountStore, SeenRunner, TenantRunner } from '../store/accounts.ts'
import type { RunnerKey } from './needs.ts'
import { Runner } from './roster.ts'

export type RunnerStore = Pick<AccountStore, 'saveRunner' | 'runners' | 'removeRunner'>

/** How long a runner that went away is still shown. One that an admin drained stays: it would come back undrained. */
export const SHOWN_FOR_MS = 24 * 3_600_000

/** The knowledge of runners that outlives the hub's process: that they were there, and which of them are drained. */
export class KnownRunners {
  readonly #store: RunnerStore | undefined
  readonly #log: (message: string) => void

  constructor(store: RunnerStore | undefined, log: (message: string) => void) {
    this.#store = store
    this.#log = log
  }

  /** Those of the process before. */
  async recall(runners: Map<RunnerKey, Runner>): Promise<void> {
    for (const seen of (await this.#store?.runners()) ?? [])
      if (seen.draining || Date.parse(seen.last_seen_at) > Date.now() - SHOWN_FOR_MS) {
        const runner = recalled(seen)
        runners.set(runner.key, runner)
      } else await this.forget(seen)
  }

  /** Resolves once it is kept. */
  async keep(runner: Runner): Promise<void> {
    const { id, hello, tenant, drained } = runner
    if (hello === undefined) return
    const { group, hostname, cpus, memory_bytes, labels, mode, version, slots } = hello
    await this.#store?.saveRunner({
      ...{ id, group, hostname, cpus, memory_bytes, labels, mode, version, slots, tenant },
      draining: drained,
      first_seen_at: new Date(runner.connectedAtMs).toISOString(),
      last_seen_at: new Date(runner.link?.lastSeenAtMs ?? runner.lastSeenAtMs).toISOString(),
    })
  }

  /** Resolves once it is gone. */
  async forget({ tenant, id }: TenantRunner): Promise<void> {
    await this.#store?.removeRunner({ tenant, id })
  }

  /** For what nobody waits for. */
  inPassing({ id }: TenantRunner, work: Promise<void>): void {
    work.catch((error: Error) => this.#log(`What is known of runner "${id}" is not kept: ${error.message}`))
  }
}

function recalled(seen: SeenRunner): Runner {
  const { id, tenant, draining, first_seen_at, last_seen_at, mode, ...rest } = seen
  const runner = new Runner(tenant, id)
  runner.drained = draining
  runner.expected = true
  runner.connectedAtMs = Date.parse(first_seen_at)
  runner.lastSeenAtMs = Date.parse(last_seen_at)
  runner.hello = {
    ...rest,
    type: 'hello',
    protocol: PROTOCOL_VERSION,
    runner_id: id,
    boot_id: '',
    mode: mode === 'chat' || mode === 'issue' ? mode : 'all',
    attempts: [],
  }
  return runner
}
