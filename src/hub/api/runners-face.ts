import type { RunnerView } from '../../contract/protocol.ts'

/** What the API needs of the fleet. */
export interface RunnersFace {
  /** The tenant's runners, connected or not. */
  list(tenant: string): RunnerView[] | Promise<RunnerView[]>
  /** It takes nothing new and finishes what it has. False: it is not known. */
  drain(id: string): boolean | Promise<boolean>
  /** Forgets it and closes its link. False: it is not known. */
  remove(id: string): boolean | Promise<boolean>
}
