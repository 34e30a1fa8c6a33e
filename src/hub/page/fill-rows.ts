import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'

export interface FillRowsOptions {
  /** Returns ids of ended runs that have no row yet, newest first. */
  store: { withoutRow(limit: number): Promise<string[]> }
  engine: Pick<EngineFace, 'fillRow'>
  log: Log
  /** Milliseconds of pause between two runs, for other work. */
  pauseMs?: number
}

const BATCH = 50
const PAUSE_MS = 5

/**
 * Adds the missing rows of runs that ended without one, one by one alongside other work: when a run cannot be resumed,
 * the store marks it as interrupted, and does not know its row. Each is stored at once, so a killed hub continues where
 * it was. Returns how to stop; `done` resolves when nothing is left to do.
 */
export function fillRows({ store, engine, log, pauseMs = PAUSE_MS }: FillRowsOptions) {
  const stop = new AbortController()
  const work = async () => {
    for (;;) {
      const ids = await store.withoutRow(BATCH)
      if (ids.length === 0) return
      for (const runId of ids) {
        await sleep(pauseMs, undefined, { signal: stop.signal })
        await engine.fillRow(runId).catch((error) => {
          // The run was removed meanwhile.
          if (!(error instanceof ErrandError && error.code === 'run_not_found')) throw error
        })
      }
    }
  }
  const done = work().catch((error) => {
    if (!stop.signal.aborted)
      log(`Some list rows of older runs could not be filled in: ${error}`, { level: 'warn' })
  })
  return {
    done,
    async close(): Promise<void> {
      stop.abort()
      await done
    },
  }
}
