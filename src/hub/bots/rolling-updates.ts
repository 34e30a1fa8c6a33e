import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import type { LiveOf } from './bot-view.ts'

type Run = Pick<RunRecord, 'run_id'>

/** Between two looks at a run whose health is waited for. */
const LOOK_MS = 300

interface RollingUpdatesOptions {
  engine: EngineFace
  live: LiveOf
  heardForMs(attemptId: string): number
  /** Told of the run before where it goes on. */
  stays(runId: string): Promise<void>
  log: Log
  settleMs: number
}

/**
 * Updates under way: a run that is to take the place of another. When it has been up for `settleMs`, by its log, and is
 * healthy where it has a check, the other one is canceled; when it ends before, or is unhealthy, the other one stays. All that is known stands in the runs, so that a
 * restarted hub goes on.
 */
export class RollingUpdates {
  readonly #options: RollingUpdatesOptions
  readonly #stop = new AbortController()
  readonly #under = new Map<string, Promise<void>>()

  constructor(options: RollingUpdatesOptions) {
    this.#options = options
  }

  /** Twice is once. */
  follow(run: Run, old: Run): void {
    if (this.#under.has(run.run_id)) return
    const work = this.#replace(run.run_id, old.run_id)
      .catch((error: Error) => {
        if (!this.#stop.signal.aborted)
          this.#options.log(`The update ${run.run_id} cannot be followed: ${error.message}`, {
            level: 'error',
            run_id: run.run_id,
          })
      })
      .finally(() => this.#under.delete(run.run_id))
    this.#under.set(run.run_id, work)
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#under.values())
  }

  async #replace(runId: string, oldId: string): Promise<void> {
    const { engine, live, heardForMs, stays, settleMs } = this.#options
    const { signal } = this.#stop
    for (let after = 0; ; ) {
      const up = await this.#nextUp(runId, after)
      if (up === undefined) return await stays(oldId)
      after = up.seq
      await sleep(Math.max(0, Date.parse(up.time) + settleMs - Date.now()), undefined, { signal })
      for (;;) {
        const { status, steps } = await engine.view(runId)
        if (isFinalRun(status)) return await stays(oldId)
        const attempt = steps[0]?.instances[0]?.attempts.at(-1)
        if (attempt?.phase?.name !== 'running' || attempt.phase.since !== up.time) break
        const { health, engine_away_since } = live(attempt.attempt_id) ?? {}
        // A runner tells of a check when it is back, and its engine too: before that there may be one.
        const isKnown = engine_away_since === undefined && heardForMs(attempt.attempt_id) >= settleMs
        if (isKnown && (health === undefined || health.state === 'healthy'))
          return await this.#retire(oldId, `Updated to ${runId}.`)
        if (isKnown && health?.state === 'unhealthy') {
          const said = health.output ? `: ${health.output}` : ''
          await this.#retire(runId, `It was unhealthy, so the one before goes on${said}`)
          return await stays(oldId)
        }
        await sleep(LOOK_MS, undefined, { signal })
      }
    }
  }

  /** The next time that its container is up; undefined once the run has ended. */
  async #nextUp(runId: string, after: number): Promise<{ seq: number; time: string } | undefined> {
    const { signal } = this.#stop
    for await (const event of this.#options.engine.watch(runId, after, signal, { outputBytes: 0 }))
      if (event.type === 'attempt.phase' && event.phase === 'running')
        return { seq: event.seq, time: event.time }
    signal.throwIfAborted()
    return undefined
  }

  async #retire(runId: string, message: string): Promise<void> {
    try {
      await this.#options.engine.cancel(runId, { message })
    } catch (error) {
      // It has ended by itself meanwhile, or was removed since.
      if (!(error instanceof ErrandError && (error.code === 'run_ended' || error.code === 'run_not_found')))
        throw error
    }
  }
}
