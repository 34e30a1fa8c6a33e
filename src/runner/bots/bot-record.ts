import { readFileSync } from 'node:fs'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import type { Ending } from '../attempts/outcome.ts'
import type { MeterFacts } from './bot-meter.ts'
import type { PreparedImage } from './images/ports.ts'
import type { PlannedRestart } from './restart-policy.ts'

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
