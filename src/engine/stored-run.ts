import { ErrandError } from '../contract/errors.ts'
import type { RunEvent } from '../contract/events.ts'
import type { RunRecord } from '../contract/run.ts'
import type { RunStore } from './ports.ts'

/** Events read from the store at once. */
const PAGE = 1000

/** Throws `run_not_found`. */
export async function recordOf(store: RunStore, runId: string): Promise<RunRecord> {
  const record = await store.get(runId)
  if (record) return record
  throw new ErrandError('run_not_found', `There is no run ${runId}.`, {
    hint: 'errand runs list shows the runs there are.',
  })
}

/** The whole log of a run. */
export async function logOf(store: RunStore, runId: string): Promise<RunEvent[]> {
  const log: RunEvent[] = []
  for (;;) {
    const page = await store.events(runId, log.length, PAGE)
    log.push(...page)
    if (page.length < PAGE) return log
  }
}
