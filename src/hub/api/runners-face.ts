import type { AttemptSpec } from '../../contract/attempt.ts'
import type { RunnerView } from '../../contract/protocol.ts'

/** What the API needs of the fleet. */
export interface RunnersFace {
  /** The tenant's runners, connected or not. */
  list(tenant: string): RunnerView[] | Promise<RunnerView[]>
  /** What it was given and has not ended; none where it is not known. */
  attempts(id: string): AttemptSpec[] | Promise<AttemptSpec[]>
  /** It takes nothing new and finishes what it has, until `undrain`. False: it is not known. */
  drain(id: string): boolean | Promise<boolean>
  /** False: it is not known. */
  undrain(id: string): boolean | Promise<boolean>
  /** Forgets it and closes its link; what it had is lost. False: it is not known. */
  remove(id: string): boolean | Promise<boolean>
}
