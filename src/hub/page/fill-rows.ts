import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'

export interface FillRowsOptions {
  /** Ids of ended runs that have no row yet, the newest first. */
  store: { withoutRow(limit: number): Promise<string[]> }
  engine: Pick<EngineFace, 'fillRow'>
  log: Log
  /** Between two runs, for others. */
  pauseMs?: number
}

const BATCH = 50
const PAUSE_MS = 5

/**
 * Gives runs from before lists had rows theirs, one by one beside all other work. Each is kept by itself, so a hub that is killed
 * goes on where it was. Answers how to stop; `done` resolves when there is nothing left to do.
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
          // Taken away meanwhile.
          if (!(error instanceof ErrandError && error.code === 'run_not_found')) throw error
        })
      }
    }
  }
  const done = work().catch((error) => {
    if (!stop.signal.aborted) log(`rows of older runs are not all filled in: ${error}`, { level: 'warn' })
  })
  return {
    done,
    async close(): Promise<void> {
      stop.abort()
      await done
    },
  }
}
