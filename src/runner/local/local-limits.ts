import type { AttemptSpec, AttemptUsage } from '../../contract/attempt.ts'
import { spentCpuMs } from '../../platform/process-tree.ts'
import type { Cage } from '../limits/cage.ts'
import type { Breach } from '../limits/hold.ts'
import type { LocalCages } from './local-cages.ts'

/** What is over sooner is not worth loading what measures memory. */
const MEASURED_AFTER_MS = 250
const MEASURE_MS = 500
const HOLD_MS = 50

export interface LocalLimitsOptions {
  spec: AttemptSpec
  /** Value of the mark in its processes' environment. */
  key: string
  /** Its working folder, whose growth its disk limit counts. */
  folder: string
  cages(): Promise<LocalCages>
  /** It is past a limit. */
  onBreach(breach: Breach): void
}

/** The limits of one local step, and what it uses. */
export class LocalLimits {
  readonly #options: LocalLimitsOptions
  #cage: Cage | undefined
  #pid: number | undefined
  #timer: NodeJS.Timeout | undefined
  #cpuMs: number | undefined
  #over = false

  constructor(options: LocalLimitsOptions) {
    this.#options = options
  }

  get limited(): boolean {
    return Object.values(this.#options.spec.limits ?? {}).some((limit) => limit !== undefined)
  }

  /** Where it is limited, before it is begun: the cgroups that it puts itself into. Throws where it cannot be held. */
  async make(): Promise<readonly string[]> {
    const { spec, key, folder, cages } = this.#options
    this.#cage = (await cages()).holding(spec.limits!, key, folder)
    this.#cage.make()
    await this.#cage.prepare()
    return this.#cage.enter
  }

  begun(pid: number): void {
    this.#pid = pid
    this.#cage?.begun(pid)
    this.#again(this.#cage === undefined ? MEASURED_AFTER_MS : HOLD_MS)
  }

  /** It is about to end, or has ended and is not yet reaped: its CPU time is whole now. */
  ending(): void {
    if (this.#pid !== undefined) this.#cpuMs = spentCpuMs(this.#pid) ?? this.#cpuMs
  }

  readonly members = (): readonly number[] => this.#cage?.members() ?? []

  seal(): void {
    this.#cage?.seal()
  }

  /** It has ended: what it went past at the last. */
  async lastLook(): Promise<Breach | undefined> {
    this.#over = true
    clearTimeout(this.#timer)
    return this.#cage === undefined ? undefined : await this.#cage.lastLook()
  }

  /** Nothing of it runs any more. */
  end(): AttemptUsage {
    const usage = this.#cage?.usage(this.#cpuMs) ?? { cpu_ms: this.#cpuMs, held_by: 'watchdog' }
    this.#cage?.end()
    return usage
  }

  #again(inMs: number): void {
    this.#timer = setTimeout(() => void this.#look().catch(() => this.#again(MEASURE_MS)), inMs)
  }

  async #look(): Promise<void> {
    const { key, folder, cages, onBreach } = this.#options
    if (this.#cage === undefined) {
      const cage = (await cages()).measuring(key, folder)
      cage.begun(this.#pid!)
      this.#cage = cage
    }
    if (this.#over) return
    const breach = this.#cage.look()
    if (breach === undefined) this.#again(this.limited ? HOLD_MS : MEASURE_MS)
    else onBreach(breach)
  }
}
