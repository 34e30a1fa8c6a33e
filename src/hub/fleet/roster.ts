import type { AttemptSpec } from '../../contract/attempt.ts'
import {
  type GivenIsolation,
  type Hello,
  PROTOCOL_VERSION,
  type RunnerView,
} from '../../contract/protocol.ts'
import type { AccountStore, SeenRunner, TenantRunner } from '../../stores/accounts.ts'
import { type Candidate, type GroupBox, type RunnerKey, runnerKey, takesSlot } from './matching.ts'
import type { RunnerLink } from './runner-link.ts'
import type { Line } from './wait-queues.ts'

/** The resources kept for an attempt. */
interface Kept {
  isBot: boolean
  milliCpus: number
  memoryBytes: number
}

/** Returns the least box of whatever runs in a group of runners; undefined: nothing is asked there. */
export type GroupBoxes = (group: string) => GroupBox | undefined

/** Facts that hold of runners beyond what they say of themselves. */
export interface RunnerRules {
  boxOf?: GroupBoxes | undefined
  /** The run that the runner was made for; null: one that it does not have yet; undefined: nobody has made it. */
  runOf?(tenant: string, id: string): string | null | undefined
}

/** A runner, connected or not. Without a `hello` it is only known from the log of a run taken up again. */
export class Runner implements Candidate {
  readonly key: RunnerKey
  readonly tenant: string
  readonly id: string
  hello: Hello | undefined
  link: RunnerLink | undefined
  /** Says that it takes nothing new, until its process is started anew. */
  draining = false
  /** An admin says so, until an admin says otherwise. */
  drained = false
  connectedAtMs = 0
  lastSeenAtMs = Date.now()
  /** Not here, and not given up. */
  expected = false
  lostTimer: NodeJS.Timeout | undefined
  /** When what it has counts as lost; set while it is awaited. */
  lostAtMs: number | undefined
  /** Attempts that it has, and what each asks for. */
  readonly held = new Map<string, Kept>()
  /** Nothing else is put on it until one of these has room. */
  keptFor: Line | undefined
  /** Cores in thousandths, so that what is taken and given back leaves nothing. */
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
  get isolation(): GivenIsolation | undefined {
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
  /** The resources that steps may have there beside its bots, which go on for days. */
  get forSteps(): { cpus: number; memoryBytes: number } {
    const { milliCpus, memoryBytes } = this.#steps
    return { cpus: this.freeCpus + milliCpus / 1000, memoryBytes: this.freeMemoryBytes + memoryBytes }
  }
  get kept(): boolean {
    return this.keptFor !== undefined
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

  /** Keeps a slot for it, and what it asks for; for a bot no slot. */
  take({ attempt_id, requires }: AttemptSpec): void {
    const { cpus = 0, memory_bytes: memoryBytes = 0 } = requires
    const kept = { isBot: !takesSlot(requires), milliCpus: Math.round(cpus * 1000), memoryBytes }
    this.held.set(attempt_id, kept)
    this.#change(kept, 1)
  }

  give(attemptId: string): void {
    const kept = this.held.get(attemptId)
    if (!kept) return
    this.held.delete(attemptId)
    this.#change(kept, -1)
  }

  #change({ isBot, milliCpus, memoryBytes }: Kept, by: 1 | -1): void {
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

/** "8GB", "15.5GB", "512MB". */
export function memoryText(bytes: number): string {
  return bytes >= GB ? `${Math.round((bytes / GB) * 10) / 10}GB` : `${Math.round(bytes / 1024 ** 2)}MB`
}

export type RunnerStore = Pick<AccountStore, 'saveRunner' | 'runners' | 'removeRunner'>

/** How long a runner that went away is still shown. One that an admin drained stays: it would come back undrained. */
export const SHOWN_FOR_MS = 24 * 3_600_000

/** The knowledge of runners that outlives the hub's process: that they were there, and which of them are drained. */
export class KnownRunners {
  readonly #store: RunnerStore | undefined
  readonly #log: (message: string) => void
  readonly #rules: RunnerRules

  constructor(store: RunnerStore | undefined, log: (message: string) => void, rules: RunnerRules = {}) {
    this.#store = store
    this.#log = log
    this.#rules = rules
  }

  /** Those of the process before. */
  async recall(runners: Map<RunnerKey, Runner>): Promise<void> {
    for (const seen of (await this.#store?.runners()) ?? [])
      if (seen.draining || Date.parse(seen.last_seen_at) > Date.now() - SHOWN_FOR_MS) {
        const runner = recalled(seen, this.#rules)
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
