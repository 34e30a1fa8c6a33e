import type { AttemptSpec } from '../../contract/attempt.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import type { TenantRunner } from '../store/accounts.ts'

/** What the API needs of the fleet. */
export interface RunnersFace {
  /** The tenant's runners, connected or not. */
  list(tenant: string): RunnerView[] | Promise<RunnerView[]>
  /** What it was given and has not ended; none where it is not known. */
  attempts(runner: TenantRunner): AttemptSpec[] | Promise<AttemptSpec[]>
  /** It takes nothing new and finishes what it has, until `undrain`. False: it is not known. */
  drain(runner: TenantRunner): boolean | Promise<boolean>
  /** False: it is not known. */
  undrain(runner: TenantRunner): boolean | Promise<boolean>
  /** Forgets it and closes its link; what it had is lost. False: it is not known. */
  remove(runner: TenantRunner): boolean | Promise<boolean>
}
