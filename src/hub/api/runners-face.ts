import type { RunnerView } from '../../contract/protocol.ts'

/** What the API needs of the fleet. */
export interface RunnersFace {
  /** Every runner known, connected or not. */
  list(): RunnerView[] | Promise<RunnerView[]>
  /** It takes nothing new and finishes what it has. Throws `not_found`. */
  drain(id: string): void | Promise<void>
  /** Forgets it. Throws `not_found`; `conflict` while it is connected. */
  remove(id: string): void | Promise<void>
}
