import { readFileSync } from 'node:fs'
import type { BotRestart } from '../../contract/bots/bot.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerState } from '../docker/docker-engine.ts'
import type { MeterFacts } from './bot-meter.ts'
import type { PreparedImage } from './images/image-order.ts'

/** The facts of a bot that a later process of this runner has to know beside what its engine tells. */
export interface BotFacts {
  image?: PreparedImage
  /** Id of its container, once that is made and its limits were read back. */
  container?: string
  /** The places that it has on the disk; absent: none. */
  places?: { work: readonly string[]; imageBytes: number; data?: string }
  /** Volume for its data that was not there before it; until it is told that it runs. */
  newData?: string
  /** Start of the container that was reported as `running`. */
  toldStart?: string
  /** Boot of the machine that this start was in. */
  boot?: string
  restart?: PlannedRestart
  /** A start that is ended since its health check failed, and what that said. */
  unhealthy?: { startedAt: string; output?: string }
  usage?: MeterFacts
  /** Set once it has ended and its log is read to the end: what is left of it may be removed. */
  ending?: { how: Ending; atMs: number }
}

/** These facts, in a file of the attempt's folder. */
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

  /** On the disk when it returns, even if the power fails. Throws where it cannot be written. */
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
