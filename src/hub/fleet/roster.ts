import type { AttemptSpec } from '../../contract/attempt.ts'
import {
  type Hello,
  type OfferedIsolation,
  PROTOCOL_VERSION,
  type RunnerView,
} from '../../contract/protocol.ts'
import type { AccountStore, SeenRunner, TenantRunner } from '../../stores/accounts.ts'
import { type Candidate, type GroupBox, type RunnerKey, runnerKey, takesSlot } from './matching.ts'
import type { RunnerLink } from './runner-link.ts'
import type { Line } from './wait-queues.ts'

/** The resources reserved for an attempt. */
interface Reserved {
  isBot: boolean
  milliCpus: number
  memoryBytes: number
}

/** Returns the least box for everything that runs in a group of runners, or undefined if the group demands none. */
export type GroupBoxes = (group: string) => GroupBox | undefined

/** Gives facts about runners beyond what they report themselves. */
export interface RunnerRules {
  boxOf?: GroupBoxes | undefined
  /**
   * Returns the run that the runner was provisioned for; null if it has none yet; undefined if it was not
   * provisioned.
   */
  runOf?(tenant: string, id: string): string | null | undefined
}

/** A runner, connected or not. One without a `hello` is known only from the log of a resumed run. */
export class Runner implements Candidate {
  readonly key: RunnerKey
  readonly tenant: string
  readonly id: string
  hello: Hello | undefined
  link: RunnerLink | undefined
  /** True after the runner said that it takes nothing new, until its process restarts. */
  draining = false
  /** True after an admin drained it, until an admin ends that. */
  drained = false
  connectedAtMs = 0
  lastSeenAtMs = Date.now()
  /** True while the runner is away and not given up. */
  expected = false
  lostTimer: NodeJS.Timeout | undefined
  /** Time at which its attempts count as lost; set while it is awaited. */
  lostAtMs: number | undefined
  /** Attempts that it has, each with the resources it asks for. */
  readonly held = new Map<string, Reserved>()
  /** Line that the runner is reserved for: it takes nothing else until an attempt of that line has room. */
  reservedFor: Line | undefined
  /** Cores in thousandths, so that taking and releasing them leaves no rounding error. */
  readonly #steps = { milliCpus: 0, memoryBytes: 0 }
  readonly #bots = { count: 0, milliCpus: 0, memoryBytes: 0 }

  readonly #rules: RunnerRules

  constructor(tenant: string, id: string, rules: RunnerRules = {}) {
    this.key = runnerKey(tenant, id)
    this.tenant = tenant
    this.id = id
    this.#rules = rules
  }

  get group(): string {
    return this.hello?.group ?? ''
  }
  get labels(): Readonly<Record<string, string>> {
    return this.hello?.labels ?? {}
  }
  get slots(): number {
    return this.hello?.slots ?? 0
  }
  get used(): number {
    return this.held.size - this.#bots.count
  }
  get mode(): 'chat' | 'issue' | 'all' {
    return this.hello?.mode ?? 'all'
  }
  get containers(): boolean {
    return this.hello?.containers !== undefined
  }
  get isolation(): OfferedIsolation | undefined {
    return this.hello?.isolation
  }
  get groupBox(): GroupBox | undefined {
    return this.#rules.boxOf?.(this.group)
  }
  get run(): string | null | undefined {
    return this.#rules.runOf?.(this.tenant, this.id)
  }
  get cpus(): number {
    return this.hello?.cpus ?? 0
  }
  get freeCpus(): number {
    const { botOvercommit = Number.POSITIVE_INFINITY } = this
    return this.cpus - (this.#steps.milliCpus + this.#bots.milliCpus / botOvercommit) / 1000
  }
  get memoryBytes(): number {
    return this.hello?.memory_bytes ?? 0
  }
  get freeMemoryBytes(): number {
    return this.memoryBytes - this.#steps.memoryBytes - this.#bots.memoryBytes
  }
  get botOvercommit(): number | undefined {
    return this.hello?.bots?.cpu_overcommit
  }
  /** Resources that steps can get there besides its bots, which run for days. */
  get forSteps(): { cpus: number; memoryBytes: number } {
    const { milliCpus, memoryBytes } = this.#steps
    return { cpus: this.freeCpus + milliCpus / 1000, memoryBytes: this.freeMemoryBytes + memoryBytes }
  }
  get reserved(): boolean {
    return this.reservedFor !== undefined
  }
  get status(): RunnerView['status'] {
    if (!this.link) return 'disconnected'
    return this.draining || this.drained ? 'draining' : 'connected'
  }

  get awaited(): boolean {
    return this.link ? this.draining : this.expected
  }
  get finishing(): boolean {
    return this.link !== undefined && this.drained && !this.draining
  }

  /** Takes a slot and the requested resources for the attempt. A bot takes no slot. */
  take({ attempt_id, requires }: AttemptSpec): void {
    const { cpus = 0, memory_bytes: memoryBytes = 0 } = requires
    const held = { isBot: !takesSlot(requires), milliCpus: Math.round(cpus * 1000), memoryBytes }
    this.held.set(attempt_id, held)
    this.#change(held, 1)
  }

  give(attemptId: string): void {
    const entry = this.held.get(attemptId)
    if (!entry) return
    this.held.delete(attemptId)
    this.#change(entry, -1)
  }

  #change({ isBot, milliCpus, memoryBytes }: Reserved, by: 1 | -1): void {
    if (isBot) this.#bots.count += by
    const sum = isBot ? this.#bots : this.#steps
    sum.milliCpus += by * milliCpus
    sum.memoryBytes += by * memoryBytes
  }

  view(hello: Hello): RunnerView {
    return {
      id: this.id,
      group: hello.group,
      status: this.status,
      hostname: hello.hostname,
      cpus: hello.cpus,
      memory: memoryText(hello.memory_bytes),
      connected_at: new Date(this.connectedAtMs).toISOString(),
      labels: hello.labels,
      mode: hello.mode,
      version: hello.version,
      slots: hello.slots,
      running: this.used,
      bots: this.#bots.count,
      bots_memory: memoryText(this.#bots.memoryBytes),
      free_cpus: Math.max(0, this.freeCpus),
      free_memory: memoryText(Math.max(0, this.freeMemoryBytes)),
      last_seen_at: new Date(this.link?.lastSeenAtMs ?? this.lastSeenAtMs).toISOString(),
      lost_at: this.lostAtMs === undefined ? undefined : new Date(this.lostAtMs).toISOString(),
      limits: hello.limits,
      isolation: hello.isolation,
      containers: hello.containers,
      agents: hello.agents,
    }
  }
}

const GB = 1024 ** 3

/** Formats bytes, such as "8GB", "15.5GB" or "512MB". */
export function memoryText(bytes: number): string {
  return bytes >= GB ? `${Math.round((bytes / GB) * 10) / 10}GB` : `${Math.round(bytes / 1024 ** 2)}MB`
}

export type RunnerStore = Pick<AccountStore, 'saveRunner' | 'runners' | 'removeRunner'>

/**
 * Milliseconds that a runner that went away is still shown. A drained one stays, because it would otherwise come back
 * undrained.
 */
export const SHOWN_FOR_MS = 24 * 3_600_000

/** Stores what must outlive the hub's process: which runners there were and which of them are drained. */
export class KnownRunners {
  readonly #store: RunnerStore | undefined
  readonly #log: (message: string) => void
  readonly #rules: RunnerRules

  constructor(store: RunnerStore | undefined, log: (message: string) => void, rules: RunnerRules = {}) {
    this.#store = store
    this.#log = log
    this.#rules = rules
  }

  /** Loads the runners that the previous process knew. */
  async restore(runners: Map<RunnerKey, Runner>): Promise<void> {
    for (const seen of (await this.#store?.runners()) ?? [])
      if (seen.draining || Date.parse(seen.last_seen_at) > Date.now() - SHOWN_FOR_MS) {
        const runner = recalled(seen, this.#rules)
        runners.set(runner.key, runner)
      } else await this.forget(seen)
  }

  /** Stores the runner; resolves once that is done. */
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

  /** Deletes the runner from the store; resolves once that is done. */
  async forget({ tenant, id }: TenantRunner): Promise<void> {
    await this.#store?.removeRunner({ tenant, id })
  }

  /** Runs store work that nobody waits for, and logs its failure. */
  inPassing({ id }: TenantRunner, work: Promise<void>): void {
    work.catch((error: Error) =>
      this.#log(`The record of runner "${id}" could not be saved: ${error.message}`),
    )
  }
}

function recalled(seen: SeenRunner, rules: RunnerRules): Runner {
  const { id, tenant, draining, first_seen_at, last_seen_at, mode, ...rest } = seen
  const runner = new Runner(tenant, id, rules)
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
