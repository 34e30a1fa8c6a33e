import type { Hello, RunnerView } from '../../contract/protocol.ts'
import type { Candidate } from './placement.ts'
import type { RunnerLink } from './runner-link.ts'

/** A runner, connected or not. Without a `hello` it is only known from the log of a run taken up again. */
export class Runner implements Candidate {
  readonly id: string
  hello: Hello | undefined
  tenant: string | undefined
  link: RunnerLink | undefined
  draining = false
  connectedAtMs = 0
  lastSeenAtMs = Date.now()
  lostTimer: NodeJS.Timeout | undefined
  /** Ids of attempts that take a slot. */
  readonly held = new Set<string>()
  /** Ended runs that it was not told of yet. */
  readonly forget = new Set<string>()

  constructor(id: string) {
    this.id = id
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
    return this.held.size
  }
  get status(): RunnerView['status'] {
    if (!this.link) return 'disconnected'
    return this.draining ? 'draining' : 'connected'
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
      last_seen_at: new Date(this.link?.lastSeenAtMs ?? this.lastSeenAtMs).toISOString(),
      agents: hello.agents,
    }
  }
}

const GB = 1024 ** 3

/** "8GB", "15.5GB", "512MB". */
export function memoryText(bytes: number): string {
  return bytes >= GB ? `${Math.round((bytes / GB) * 10) / 10}GB` : `${Math.round(bytes / 1024 ** 2)}MB`
}
