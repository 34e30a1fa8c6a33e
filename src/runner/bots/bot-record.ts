import { readFileSync } from 'node:fs'
import type { BotRestart } from '../../contract/bots/bot.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerState } from '../docker/docker-engine.ts'
import type { MeterFacts } from './bot-meter.ts'
import type { PreparedImage } from './images/image-order.ts'

/** Facts of a bot that a later process of this runner needs besides what its engine reports. */
export interface BotFacts {
  image?: PreparedImage
  /** Id of its container, once that is made and its limits were read back. */
  container?: string
  /** Places that it has on the disk; absent if there are none. */
  places?: { work: readonly string[]; imageBytes: number; data?: string }
  /** Volume that was created for its data; until the bot is reported as running. */
  newData?: string
  /** Start of the container that was reported as `running`. */
  toldStart?: string
  /** Boot of the machine that this start was in. */
  boot?: string
  restart?: PlannedRestart
  /** Start that is ended because its health check failed, with the output of the check. */
  unhealthy?: { startedAt: string; output?: string }
  usage?: MeterFacts
  /** Set once it has ended and its log is completely read: its leftovers may be removed. */
  ending?: { how: Ending; atMs: number }
}

/** Stores these facts, in a file of the attempt's folder. */
export class BotRecord {
  readonly #file: string
  #facts: BotFacts

  constructor(file: string) {
    this.#file = file
    this.#facts = readFacts(file)
  }

  get facts(): Readonly<BotFacts> {
    return this.#facts
  }

  /** Stores facts; they are on the disk when it returns, even if the power fails. Throws if they cannot be written. */
  keep(more: Partial<BotFacts>): void {
    this.#facts = { ...this.#facts, ...more }
    writeFileAtomic(this.#file, JSON.stringify(this.#facts), { mode: 0o600 })
  }
}

function readFacts(file: string): BotFacts {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as BotFacts
  } catch {
    return {}
  }
}

const FIRST_WAIT_MS = 1_000
const LAST_WAIT_MS = 60_000
/** Milliseconds after which a bot counts as having started successfully. */
const LONG_LIFE_MS = 10 * 60_000

export type Exited = Extract<ContainerState, { type: 'exited' }>

export interface PlannedRestart {
  /** `finishedAt` of the end that it follows. */
  after: string
  /** Number of restarts including this one, without a long life in between. */
  inARow: number
  dueAtMs: number
}

/** Reports whether a bot is restarted even after a successful end. */
export const isRestarted = ({ policy }: BotRestart): boolean =>
  policy === 'always' || policy === 'unless-stopped'

/** Plans the restart of an ended container; undefined if there is none. `failed`: it failed, whatever its exit code. */
export function nextRestart(
  restart: BotRestart,
  exit: Exited,
  before: PlannedRestart | undefined,
  nowMs: number,
  { failed = exit.exitCode !== 0 }: { failed?: boolean } = {},
): PlannedRestart | undefined {
  if (restart.policy === 'no' || !(failed || isRestarted(restart))) return undefined
  // Planned by an earlier process of this runner.
  if (before?.after === exit.finishedAt) return before
  const isLong = Date.parse(exit.finishedAt) - Date.parse(exit.startedAt) >= LONG_LIFE_MS
  const inARow = (isLong ? 0 : (before?.inARow ?? 0)) + 1
  if (restart.policy === 'on-failure' && inARow > restart.max_restarts) return undefined
  const waitMs = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(inARow - 1, 16))
  return { after: exit.finishedAt, inARow, dueAtMs: nowMs + waitMs }
}
