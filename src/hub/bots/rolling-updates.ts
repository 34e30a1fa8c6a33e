import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import type { LiveOf } from './bot-view.ts'

type Run = Pick<RunRecord, 'run_id'>

/** Milliseconds between looks at a run whose health check has no result yet. */
const LOOK_MS = 300

interface RollingUpdatesOptions {
  engine: EngineFace
  live: LiveOf
  contactMs(attemptId: string): number
  /** Called with the run before when it stays. */
  stays(runId: string): Promise<void>
  log: Log
  settleMs: number
}

/**
 * Follows updates, in which a new run replaces an old one. All state is in the runs, so a restarted hub continues.
 * - Once the new run was up for `settleMs`, by its log, and is healthy if it has a check, the old one is canceled.
 * - If the new run ends before that, or is unhealthy, the old one stays.
 */
export class RollingUpdates {
  readonly #options: RollingUpdatesOptions
  readonly #stop = new AbortController()
  readonly #under = new Map<string, Promise<void>>()

  constructor(options: RollingUpdatesOptions) {
    this.#options = options
  }

  /** Follows an update; a repeat changes nothing. */
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

  /** Stops following updates; may be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#under.values())
  }

  async #replace(runId: string, oldId: string): Promise<void> {
    const { engine, live, contactMs, stays, settleMs } = this.#options
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
        // After a break the runner, and its engine too, reports whether there is a check. Until then there may be
        // one.
        const isKnown = engine_away_since === undefined && contactMs(attempt.attempt_id) >= settleMs
        if (isKnown && (health === undefined || health.state === 'healthy'))
          return await this.#retire(oldId, `Updated to ${runId}.`)
        if (isKnown && health?.state === 'unhealthy') {
          const output = health.output ? `: ${health.output}` : ''
          await this.#retire(runId, `It was unhealthy, so the previous run continues${output}`)
          return await stays(oldId)
        }
        await sleep(LOOK_MS, undefined, { signal })
      }
    }
  }

  /** Returns when its container is up the next time, or undefined once the run has ended. */
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
      // The run has ended by itself in the meantime, or was removed since.
      if (!(error instanceof ErrandError && (error.code === 'run_ended' || error.code === 'run_not_found')))
        throw error
    }
  }
}
