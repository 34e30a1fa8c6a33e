import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../../platform/log.ts'
import type { HubRetry } from '../link/hub-retry.ts'
import type { HeldAttempt } from '../ports.ts'

export interface OwnEndOptions {
  /** Folder of the runner. */
  folder: string
  /** Knows of the link to the hub. */
  retry: Pick<HubRetry, 'lostAfterMs' | 'unlinkedMs'>
  /** Returns the attempts that are here, and the runs whose files are here. */
  work(): { attempts: readonly HeldAttempt[]; runs: readonly string[] }
  log: Log
  /** Ends the runner; called once. */
  end(): void
  /** Interval in ms; default 2,000. */
  everyMs?: number
  /** Time in ms beyond that after which the hub gives up this runner. Default: a minute. */
  spareMs?: number
  /** Time in ms between SIGTERM and SIGKILL if the folder is gone. Default 10,000. */
  graceMs?: number
}

/** Milliseconds after which results that no hub has requested are given up. */
const UNREPORTED_MS = 24 * 3_600_000
/** Milliseconds that attempts may take to end beyond their grace. */
const OVER_MS = 15_000

/**
 * Ends a provisioned runner in two cases: without work, once its hub has been away for longer than the lost-after time;
 * and together with everything that runs, once its folder is gone, since nothing can be reported then.
 */
export class OwnEnd {
  readonly #options: OwnEndOptions
  readonly #place: string
  readonly #timer: NodeJS.Timeout
  #folderGone = false

  /** Starts watching; the folder must exist. */
  constructor(options: OwnEndOptions) {
    this.#options = options
    this.#place = placeOf(options.folder)
    this.#timer = setInterval(() => this.#look(), options.everyMs ?? 2_000)
  }

  /** Tells whether it ended the runner because the folder was gone. */
  get folderGone(): boolean {
    return this.#folderGone
  }

  /** Stops watching. Idempotent. */
  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const { folder, retry, log, end, spareMs = 60_000 } = this.#options
    if (placeOf(folder) !== this.#place) {
      this.close()
      this.#folderGone = true
      void this.#endAll().then(end)
      return
    }
    const awayMs = retry.unlinkedMs ?? 0
    if (awayMs < retry.lostAfterMs + spareMs || this.#hasWork(awayMs)) return
    this.close()
    log(
      `This provisioned runner has not reached its hub for ${Math.round(awayMs / 1000)} s and has no work, so it exits.`,
      { level: 'warn' },
    )
    end()
  }

  #hasWork(awayMs: number): boolean {
    const { attempts, runs } = this.#options.work()
    if (attempts.some(({ ended }) => !ended)) return true
    return awayMs < UNREPORTED_MS && attempts.length + runs.length > 0
  }

  async #endAll(): Promise<void> {
    const { folder, work, log, graceMs = 10_000 } = this.#options
    const going = () => work().attempts.filter(({ ended }) => !ended)
    const ids = going().map(({ spec }) => spec.attempt_id)
    const message = `The folder ${folder} of its runner is gone.`
    log(
      `The folder ${folder} is gone, so nothing can be reported. This runner exits${ids.length === 0 ? '' : ` and ends ${ids.join(', ')}`}.`,
      { level: 'error' },
    )
    for (const attempt of going()) attempt.endAsLost(graceMs, message)
    const lastMs = performance.now() + graceMs + OVER_MS
    while (going().length > 0 && performance.now() < lastMs) await sleep(50)
  }
}

/** Identifies a folder; a recreated folder has another identity. */
function placeOf(folder: string): string {
  const found = statSync(folder, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.dev} ${found.ino} ${found.birthtimeMs}`
}
