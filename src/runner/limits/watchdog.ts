import type { AttemptLimits } from '../../contract/attempt.ts'
import {
  environmentOf,
  hasSwap,
  type ProcessStat,
  pageBytes,
  parseStat,
  procText,
  proportionalBytes,
  visibleProcesses,
} from '../../platform/proc.ts'
import { type Breach, type Limiter, outOfMemory, tooManyProcesses } from './limiter.ts'

/** Greatest age in ms of a look: if a limit depends on it, and if only the peak does. */
const LIMITED_MS = 100
const MEASURED_MS = 1_000
/** Factor by which a peak must grow to be worth a closer look. */
const WORTH = 1.05

export interface WatchdogOptions {
  /** `NAME=value` in its processes' environment. */
  mark: string
  limits: AttemptLimits
  table: ProcessTable
}

/** Checks the processes of an attempt at intervals: for machines without cgroups. */
export class WatchdogLimiter implements Limiter {
  readonly heldBy = 'watchdog'
  readonly enter = []
  readonly notHeld: readonly (keyof AttemptLimits)[]
  readonly #mark: string
  readonly #limits: AttemptLimits
  readonly #table: ProcessTable
  readonly #swaps = hasSwap()
  #root: number | undefined
  #checked: readonly ProcessStat[] | undefined
  #known = new Set<string>()
  #members: ProcessStat[] = []
  #peakBytes = 0
  #wasOver = false
  #cpuMs = 0

  constructor({ mark, limits, table }: WatchdogOptions) {
    this.#mark = mark
    this.#limits = limits
    this.#table = table
    this.notHeld = limits.cpus === undefined ? [] : ['cpus']
  }

  make(): void {}

  begun(pid: number): void {
    this.#root = pid
  }

  look(): Breach | undefined {
    const { memory_bytes, processes } = this.#limits
    if (this.#root === undefined) return undefined
    const limited = memory_bytes !== undefined || processes !== undefined
    const entries = this.#table.entries(limited ? LIMITED_MS : MEASURED_MS)
    if (entries === this.#checked) return undefined
    this.#checked = entries
    this.#members = this.#find(entries)
    // The wrapper does not belong to the command.
    const own = this.#members.filter(({ pid }) => pid !== this.#root)
    this.#cpuMs = Math.max(this.#cpuMs, sum(this.#members.map(({ cpuMs }) => cpuMs)))
    const count = sum(own.map(({ threads }) => threads))
    if (processes !== undefined && count > processes) return tooManyProcesses(count, processes)
    const usedBytes = this.#memory(own)
    if (memory_bytes === undefined || usedBytes <= memory_bytes) this.#wasOver = false
    else if (this.#wasOver) return outOfMemory(usedBytes, memory_bytes)
    // A single excess may last only a moment: a process that starts another shares all its memory with it until that
    // one runs its own program.
    else this.#wasOver = true
    return undefined
  }

  /** Returns the members at the last look. */
  members(): number[] {
    return this.#members.map(({ pid }) => pid)
  }

  seal(): void {}

  measure() {
    return { peak_memory_bytes: this.#peakBytes || undefined, cpu_ms: this.#cpuMs || undefined }
  }

  remove(): boolean {
    return true
  }

  #memory(own: readonly ProcessStat[]): number {
    const { memory_bytes = Infinity } = this.#limits
    const resident = sum(own.map(({ residentPages }) => residentPages)) * this.#table.pageBytes
    // Shared pages count once for each process here, so the use cannot exceed this unless pages are swapped out.
    if (!this.#swaps && resident <= Math.min(this.#peakBytes * WORTH, memory_bytes)) return resident
    const usedNow = () =>
      sum(own.map((each) => proportionalBytes(each.pid) ?? this.#table.residentBytes(each)))
    let used = usedNow()
    // If several end meanwhile, their shared pages count again for each that is measured later.
    if (used > this.#peakBytes) used = Math.min(used, usedNow())
    this.#peakBytes = Math.max(this.#peakBytes, used)
    return used
  }

  #find(entries: readonly ProcessStat[]): ProcessStat[] {
    const members = entries.filter((entry) => this.#isOwn(entry))
    const pids = new Set(members.map(({ pid }) => pid))
    for (let before = -1; before !== pids.size; ) {
      before = pids.size
      for (const entry of entries)
        if (pids.has(entry.parent) && !pids.has(entry.pid)) {
          pids.add(entry.pid)
          members.push(entry)
        }
    }
    this.#known = new Set(members.map(keyOf))
    return members
  }

  #isOwn(entry: ProcessStat): boolean {
    if (entry.pid === process.pid) return false
    return (
      entry.pid === this.#root ||
      entry.session === this.#root ||
      this.#known.has(keyOf(entry)) ||
      this.#table.mark(entry) === this.#mark
    )
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

/** Looking may take one part in this many of the time. */
const SHARE = 20

/** Lists all processes of this machine, once for all callers. */
export class ProcessTable {
  readonly pageBytes = pageBytes()
  #entries: readonly ProcessStat[] = []
  #marks = new Map<string, string>()
  #atMs = -Infinity
  #tookMs = 0

  /** Returns the processes, at most this old; older if listing is slow. */
  entries(maxAgeMs: number): readonly ProcessStat[] {
    const now = performance.now()
    if (now - this.#atMs >= Math.max(maxAgeMs, this.#tookMs * SHARE)) {
      this.#entries = visibleProcesses()
      this.#tookMs = performance.now() - now
      this.#atMs = performance.now()
      const living = new Set(this.#entries.map(keyOf))
      for (const key of this.#marks.keys()) if (!living.has(key)) this.#marks.delete(key)
    }
    return this.#entries
  }

  /** Returns the present memory of a process that was there; 0 if it is gone. */
  residentBytes({ pid, start }: ProcessStat): number {
    const now = parseStat(procText(pid, 'stat') ?? '')
    return now?.start === start ? now.residentPages * this.pageBytes : 0
  }

  /** Returns the value of `ERRAND_ATTEMPT_MARK=…` in its environment at its start; read once, when possible. */
  mark(entry: ProcessStat): string {
    const key = keyOf(entry)
    const known = this.#marks.get(key)
    if (known !== undefined) return known
    const environment = environmentOf(entry.pid)
    const mark = /\0(ERRAND_ATTEMPT_MARK=[^\0]*)/.exec(environment ?? '')?.[1] ?? ''
    if (environment !== undefined) this.#marks.set(key, mark)
    return mark
  }
}

const keyOf = ({ pid, start }: ProcessStat): string => `${pid} ${start}`
