import type { AttemptUsage } from '../../contract/attempt.ts'
import type { BotUsage } from '../../contract/bots/bot.ts'
import type { ContainerUse } from '../docker/docker-engine.ts'

type Counted = Pick<ContainerUse, 'cpuMs' | 'receivedBytes' | 'sentBytes' | 'readBytes' | 'writtenBytes'>

/** Figures from which a later process of the runner continues. */
export interface MeterFacts {
  /** Start of the container that was measured last. */
  startedAt: string
  /** Usage of the containers before it. */
  before: Counted
  last: Counted
  peakCpus: number
  peakMemoryBytes: number
  peakNetworkPerSecond: number
  peakDiskBytes?: number
  heldBy: AttemptUsage['held_by']
}

const NOTHING: Counted = { cpuMs: 0, receivedBytes: 0, sentBytes: 0, readBytes: 0, writtenBytes: 0 }
/** Least ms between measurements; less only gives noise. */
const LEAST_MS = 500

/** Sums what a bot uses, over restarts of its container, of its engine and of this runner. */
export class BotMeter {
  #facts: MeterFacts | undefined
  /** Measurement before this one, of this process and this container. */
  #previous: ContainerUse | undefined
  #seen: BotUsage = {}
  #diskBytes: number | undefined
  #peakDiskBytes: number | undefined

  constructor(facts: MeterFacts | undefined) {
    this.#facts = facts
    this.#peakDiskBytes = facts?.peakDiskBytes
  }

  /** Records the bytes in its places on the disk; reported with the next measurement. */
  onDisk(bytes: number): void {
    this.#diskBytes = bytes
    this.#peakDiskBytes = Math.max(this.#peakDiskBytes ?? 0, bytes)
  }

  get facts(): MeterFacts | undefined {
    return this.#facts
  }

  /** Takes a measurement; `startedAt` is the start of the container. */
  take(use: ContainerUse, startedAt: string): BotUsage {
    const old = this.#facts
    const isSame = old?.startedAt === startedAt
    if (!isSame) this.#previous = undefined
    const before = old === undefined ? NOTHING : isSame ? old.before : sum(old.before, old.last)
    const { atMs: fromMs, ...from } = this.#previous ?? { ...NOTHING, atMs: Date.parse(startedAt) }
    const ms = use.atMs - fromMs
    const cpus = ms < LEAST_MS ? this.#seen.cpus : round(Math.max(0, use.cpuMs - from.cpuMs) / ms, 3)
    const bytes = use.receivedBytes + use.sentBytes - from.receivedBytes - from.sentBytes
    const perSecond =
      ms < LEAST_MS ? this.#seen.network_bytes_per_second : Math.max(0, Math.round((bytes * 1000) / ms))
    if (ms >= LEAST_MS) this.#previous = use
    this.#facts = {
      startedAt,
      before,
      last: counted(use),
      peakCpus: Math.max(old?.peakCpus ?? 0, cpus ?? 0),
      peakMemoryBytes: Math.max(old?.peakMemoryBytes ?? 0, use.memoryBytes),
      peakNetworkPerSecond: Math.max(old?.peakNetworkPerSecond ?? 0, perSecond ?? 0),
      peakDiskBytes: this.#peakDiskBytes,
      heldBy: use.heldBy,
    }
    const total = sum(before, use)
    this.#seen = {
      at: new Date(use.atMs).toISOString(),
      cpus,
      peak_cpus: this.#facts.peakCpus,
      cpu_ms: Math.round(total.cpuMs),
      memory_bytes: use.memoryBytes,
      peak_memory_bytes: this.#facts.peakMemoryBytes,
      network_bytes_per_second: perSecond,
      peak_network_bytes_per_second: this.#facts.peakNetworkPerSecond,
      network_received_bytes: total.receivedBytes,
      network_sent_bytes: total.sentBytes,
      disk_read_bytes: total.readBytes,
      disk_written_bytes: total.writtenBytes,
      disk_bytes: this.#diskBytes,
      peak_disk_bytes: this.#peakDiskBytes,
    }
    return this.#seen
  }

  /** Returns the total at the end; undefined if nothing was measured. */
  total(): AttemptUsage | undefined {
    if (this.#facts === undefined) return undefined
    const { before, last, peakCpus, peakMemoryBytes, heldBy } = this.#facts
    const { cpuMs, receivedBytes, sentBytes } = sum(before, last)
    return {
      held_by: heldBy,
      peak_memory_bytes: peakMemoryBytes,
      cpu_ms: Math.round(cpuMs),
      peak_cpus: peakCpus,
      network_received_bytes: receivedBytes,
      network_sent_bytes: sentBytes,
    }
  }
}

const counted = ({ cpuMs, receivedBytes, sentBytes, readBytes, writtenBytes }: Counted): Counted => ({
  cpuMs,
  receivedBytes,
  sentBytes,
  readBytes,
  writtenBytes,
})

const sum = (one: Counted, other: Counted): Counted => ({
  cpuMs: one.cpuMs + other.cpuMs,
  receivedBytes: one.receivedBytes + other.receivedBytes,
  sentBytes: one.sentBytes + other.sentBytes,
  readBytes: one.readBytes + other.readBytes,
  writtenBytes: one.writtenBytes + other.writtenBytes,
})

const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits
