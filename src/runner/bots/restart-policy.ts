import type { BotRestart } from '../../contract/bot.ts'
import type { ContainerState } from '../containers/ports.ts'

const FIRST_WAIT_MS = 1_000
const LAST_WAIT_MS = 60_000
/** A bot that has lived so long does not fail at its start. */
const LONG_LIFE_MS = 10 * 60_000

export type Exited = Extract<ContainerState, { type: 'exited' }>

export interface PlannedRestart {
  /** `finishedAt` of the end that it follows. */
  after: string
  /** So many, this one counted, with no long life between. */
  inARow: number
  dueAtMs: number
}

/** Whether it is restarted after an end that is no failure too. */
export const isKeptUp = ({ policy }: BotRestart): boolean =>
  policy === 'always' || policy === 'unless-stopped'

/** When a container that has ended is started again; undefined: it is left as it is. `failed`: whatever its exit code. */
export function nextRestart(
  restart: BotRestart,
  exit: Exited,
  before: PlannedRestart | undefined,
  nowMs: number,
  { failed = exit.exitCode !== 0 }: { failed?: boolean } = {},
): PlannedRestart | undefined {
  if (restart.policy === 'no' || !(failed || isKeptUp(restart))) return undefined
  // Planned by an earlier process of this runner.
  if (before?.after === exit.finishedAt) return before
  const isLong = Date.parse(exit.finishedAt) - Date.parse(exit.startedAt) >= LONG_LIFE_MS
  const inARow = (isLong ? 0 : (before?.inARow ?? 0)) + 1
  if (restart.policy === 'on-failure' && inARow > restart.max_restarts) return undefined
  const waitMs = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(inARow - 1, 16))
  return { after: exit.finishedAt, inARow, dueAtMs: nowMs + waitMs }
}
