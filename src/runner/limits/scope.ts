import type { AttemptUsage } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { Breach, Limiter } from './limiter.ts'

export interface ScopeParts {
  limiter: Limiter
  disk: DiskWatch | undefined
  /** Returns a breach if the kernel has killed it and it has no cgroup of its own. */
  oomKill(): Breach | undefined
  /** Removes the limits now, or later if a leftover process still needs them. */
  onOver(): void
}

/** Scope that one attempt's processes run in: holds them to their limits, and measures them. */
export class Scope {
  readonly #limiter: Limiter
  readonly #disk: DiskWatch | undefined
  readonly #parts: ScopeParts
  #over = false

  constructor(parts: ScopeParts) {
    this.#limiter = parts.limiter
    this.#disk = parts.disk
    this.#parts = parts
  }

  /** Cgroups that the command enters before it begins. */
  get enter(): readonly string[] {
    return this.#limiter.enter
  }

  /** Creates the scope before its first process. Throws if the limits cannot be applied. */
  make(): void {
    try {
      this.#limiter.make()
    } catch (cause) {
      const { message } = cause as Error
      throw new ErrandError('unavailable', `Its limits could not be applied: ${message}.`, { cause })
    }
  }

  /** Prepares limits that count from the present state, if there is time before the first process. */
  async prepare(): Promise<void> {
    await this.#disk?.prepare()
  }

  /** Records the attempt's wrapper; called again for each that follows. */
  begun(pid: number): void {
    this.#limiter.begun(pid)
    this.#disk?.start()
  }

  /** Checks the limits during the run; returns the first one exceeded. */
  look(): Breach | undefined {
    return this.#limiter.look() ?? this.#disk?.breach
  }

  /**
   * Returns the limit that an ended attempt exceeded last; `killed` means that a SIGKILL ended it that nobody here has
   * sent.
   */
  async lastLook(killed: boolean): Promise<Breach | undefined> {
    return this.#limiter.look() ?? (killed ? this.#parts.oomKill() : undefined) ?? (await this.#disk?.last())
  }

  /** Returns the attempt's processes that are known besides its process tree. */
  readonly members = (): number[] => this.#limiter.members()

  /** Prevents new processes before all are killed. */
  seal(): void {
    this.#limiter.seal()
  }

  /** Returns the usage; `waitedCpuMs` is the CPU time of the processes that its wrapper has waited for. */
  usage(waitedCpuMs = 0): AttemptUsage {
    const { heldBy, notHeld } = this.#limiter
    const { peak_memory_bytes, cpu_ms } = this.#limiter.measure()
    const cpu = heldBy === 'watchdog' ? Math.max(waitedCpuMs, cpu_ms ?? 0) : cpu_ms
    return {
      peak_memory_bytes,
      cpu_ms: cpu,
      held_by: heldBy,
      not_held: notHeld.length > 0 ? [...notHeld] : undefined,
    }
  }

  /** Stops watching; the limits stay. */
  close(): void {
    this.#disk?.stop()
  }

  /** Ends the scope, when nothing runs any more except leftovers. Idempotent. */
  end(): void {
    this.close()
    if (this.#over) return
    this.#over = true
    this.#parts.onOver()
  }
}
