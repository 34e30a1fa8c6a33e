import type { AttemptUsage } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { Breach, Limiter } from './limiter.ts'

export interface ScopeParts {
  limiter: Limiter
  disk: DiskWatch | undefined
  /** Whether the kernel has killed it, where it is in no cgroup of its own. */
  oomKill(): Breach | undefined
  /** Takes it away now, or later where a process left behind still needs it. */
  onOver(): void
}

/** A scope that one attempt's processes run in: held to its limits, and measured. */
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

  /** Cgroups that the command puts itself into before it begins. */
  get enter(): readonly string[] {
    return this.#limiter.enter
  }

  /** Before its first process. Throws where it cannot be held to its limits. */
  make(): void {
    try {
      this.#limiter.make()
    } catch (cause) {
      const { message } = cause as Error
      throw new ErrandError('unavailable', `It could not be put under its limits: ${message}.`, { cause })
    }
  }

  /** Where there is time before its first process: for limits that count from what is there. */
  async prepare(): Promise<void> {
    await this.#disk?.prepare()
  }

  /** The attempt's wrapper is this process; called again for each that follows. */
  begun(pid: number): void {
    this.#limiter.begun(pid)
    this.#disk?.start()
  }

  /** Now and then while it runs: the first limit gone past. */
  look(): Breach | undefined {
    return this.#limiter.look() ?? this.#disk?.breach
  }

  /** The limit that an attempt which has ended went past at the last; `killed`: SIGKILL ended it, and nobody here has sent that. */
  async lastLook(killed: boolean): Promise<Breach | undefined> {
    return this.#limiter.look() ?? (killed ? this.#parts.oomKill() : undefined) ?? (await this.#disk?.last())
  }

  /** The attempt's processes, as far as they are known beside the tree that they make. */
  readonly members = (): number[] => this.#limiter.members()

  /** Before all are killed: nothing new is started. */
  seal(): void {
    this.#limiter.seal()
  }

  /** `waitedCpuMs`: CPU time of the processes that its wrapper has waited for. */
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

  /** Watches no longer; what holds it stays. */
  close(): void {
    this.#disk?.stop()
  }

  /** Nothing of it runs any more but what it left behind. May be called twice. */
  end(): void {
    this.close()
    if (this.#over) return
    this.#over = true
    this.#parts.onOver()
  }
}
