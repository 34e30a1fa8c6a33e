import type { AttemptLimits, AttemptUsage } from '../../contract/attempt.ts'
import { spentCpuMs } from '../../platform/process-tree.ts'
import type { Cage } from '../limits/cage.ts'
import type { Breach } from '../limits/hold.ts'
import type { LocalCages } from './local-cages.ts'

/** A step that is over sooner is not worth loading what measures memory. */
const MEASURED_AFTER_MS = 250
const MEASURE_MS = 500
const HOLD_MS = 50

export interface LocalLimitsOptions {
  limits: AttemptLimits | undefined
  /** Value of the mark in its processes' environment. */
  key: string
  /** The step's working folder, whose growth its disk limit counts. */
  folder: string
  cages(): Promise<LocalCages>
}

/** A cage for one local step, and what it uses: made only where there are limits, or where there is time to measure. */
export class LocalLimits implements Pick<Cage, 'look' | 'lastLook' | 'usage' | 'close' | 'end'> {
  readonly #options: LocalLimitsOptions
  #cage: Cage | undefined
  #pid: number | undefined
  #onBreach: (breach: Breach) => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #cpuMs: number | undefined
  #over = false

  constructor(options: LocalLimitsOptions) {
    this.#options = options
  }

  get limited(): boolean {
    return Object.values(this.#options.limits ?? {}).some((limit) => limit !== undefined)
  }

  /** Where it is limited, before it is begun: the cgroups that it puts itself into. Throws where it cannot be held. */
  async make(): Promise<readonly string[]> {
    const { limits, key, folder, cages } = this.#options
    this.#cage = (await cages()).holding(limits!, key, folder)
    this.#cage.make()
    await this.#cage.prepare()
    return this.#cage.enter
  }

  /** From now on it is looked at; `onBreach` is told that it is past a limit. */
  begun(pid: number, onBreach: (breach: Breach) => void): void {
    this.#pid = pid
    this.#onBreach = onBreach
    this.#cage?.begun(pid)
    this.#again(this.#cage === undefined ? MEASURED_AFTER_MS : HOLD_MS)
  }

  /** Takes in its CPU time, which is whole when it is about to end, or has ended and is not yet reaped. */
  ending(): void {
    if (this.#pid !== undefined) this.#cpuMs = spentCpuMs(this.#pid) ?? this.#cpuMs
  }

  readonly members = (): readonly number[] => this.#cage?.members() ?? []

  seal(): void {
    this.#cage?.seal()
  }

  look(): Breach | undefined {
    return this.#cage?.look()
  }

  /** The limit that a step which has ended went past at the last. */
  async lastLook(): Promise<Breach | undefined> {
    this.close()
    return await this.#cage?.lastLook()
  }

  usage(): AttemptUsage {
    return this.#cage?.usage(this.#cpuMs) ?? { cpu_ms: this.#cpuMs, held_by: 'watchdog' }
  }

  /** Watches no longer. */
  close(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }

  /** Nothing of it runs any more. */
  end(): void {
    this.close()
    this.#cage?.end()
  }

  #again(inMs: number): void {
    this.#timer = setTimeout(() => void this.#look().catch(() => this.#again(MEASURE_MS)), inMs)
  }

  async #look(): Promise<void> {
    const { key, folder, cages } = this.#options
    if (this.#cage === undefined) {
      const cage = (await cages()).measuring(key, folder)
      cage.begun(this.#pid!)
      this.#cage = cage
    }
    if (this.#over) return
    const breach = this.look()
    if (breach === undefined) this.#again(this.limited ? HOLD_MS : MEASURE_MS)
    else this.#onBreach(breach)
  }
}
