import type { AttemptLimits, AttemptUsage } from '../../contract/attempt.ts'
import { spentCpuMs } from '../../platform/proc.ts'
import type { Breach, Limiter } from '../limits/limiter.ts'
import type { Scope } from '../limits/scope.ts'
import type { LocalScopes } from './local-scopes.ts'

/** Delay in ms; a step that ends sooner is not worth loading the code that measures memory. */
const MEASURED_AFTER_MS = 250
const MEASURE_MS = 500
const HOLD_MS = 50

export interface LocalLimitsOptions {
  limits: AttemptLimits | undefined
  /** Value of the mark in its processes' environment. */
  key: string
  /** Working folder of the step, whose growth counts against its disk limit. */
  folder: string
  scopes(): Promise<LocalScopes>
  /** Holds it to its limits instead of this machine. */
  limiter?: Limiter
}

/**
 * Limits and measures one local step. Its scope is created only if there are limits, or once the step has run long
 * enough.
 */
export class LocalLimits implements Pick<Scope, 'look' | 'lastLook' | 'usage' | 'close' | 'end'> {
  readonly #options: LocalLimitsOptions
  #scope: Scope | undefined
  #pid: number | undefined
  #onBreach: (breach: Breach) => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #cpuMs: number | undefined
  #over = false

  constructor(options: LocalLimitsOptions) {
    this.#options = options
  }

  get limited(): boolean {
    const { limits = {}, limiter } = this.#options
    return limiter !== undefined || Object.values(limits).some((limit) => limit !== undefined)
  }

  /**
   * Sets up the limits, if any, before the step begins; returns the cgroups that it enters. Throws if it cannot be
   * limited.
   */
  async make(): Promise<readonly string[]> {
    const { limits = {}, key, folder, scopes, limiter } = this.#options
    this.#scope = (await scopes()).holding(limits, key, folder, limiter)
    this.#scope.make()
    await this.#scope.prepare()
    return this.#scope.enter
  }

  /** Checks the step from now on; calls `onBreach` when it is past a limit. */
  begun(pid: number, onBreach: (breach: Breach) => void): void {
    this.#pid = pid
    this.#onBreach = onBreach
    this.#scope?.begun(pid)
    this.#again(this.#scope === undefined ? MEASURED_AFTER_MS : HOLD_MS)
  }

  /** Records its CPU time, which is complete when the process is about to end, or has ended and is not yet reaped. */
  ending(): void {
    if (this.#pid !== undefined) this.#cpuMs = spentCpuMs(this.#pid) ?? this.#cpuMs
  }

  readonly members = (): readonly number[] => this.#scope?.members() ?? []

  seal(): void {
    this.#scope?.seal()
  }

  look(): Breach | undefined {
    return this.#scope?.look()
  }

  /** Returns the limit that an ended step breached last. */
  async lastLook(killed: boolean): Promise<Breach | undefined> {
    this.close()
    return await this.#scope?.lastLook(killed)
  }

  usage(): AttemptUsage {
    return this.#scope?.usage(this.#cpuMs) ?? { cpu_ms: this.#cpuMs, held_by: 'watchdog' }
  }

  /** Stops watching. */
  close(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }

  /** Ends the limits, when nothing of the step runs any more. */
  end(): void {
    this.close()
    this.#scope?.end()
  }

  #again(inMs: number): void {
    this.#timer = setTimeout(() => void this.#look().catch(() => this.#again(MEASURE_MS)), inMs)
  }

  async #look(): Promise<void> {
    const { key, folder, scopes } = this.#options
    if (this.#scope === undefined) {
      const scope = (await scopes()).measuring(key, folder)
      scope.begun(this.#pid!)
      this.#scope = scope
    }
    if (this.#over) return
    const breach = this.look()
    if (breach === undefined) this.#again(this.limited ? HOLD_MS : MEASURE_MS)
    else this.#onBreach(breach)
  }
}
