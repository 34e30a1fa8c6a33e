import type { RunEvent } from '../../contract/events.ts'
import { attemptId } from '../../contract/ids.ts'
import type { Share } from '../../contract/runs/shares.ts'
import type { RunStore } from '../../engine/ports.ts'
import type { Log } from '../../platform/log.ts'

type EventsListener = (runId: string, events: readonly RunEvent[]) => void

/**
 * Wraps a store with observers, which must not throw. `changed` gets each run whose record has changed, with its
 * former shares if those change. `seen` gets the events of each commit after it, and `read` the events that are read.
 */
export function observedStore(
  store: RunStore,
  {
    seen,
    read,
    changed,
  }: {
    seen: EventsListener
    read: EventsListener
    changed(runId: string, sharedBefore?: readonly Share[]): void
  },
): RunStore {
  return {
    capabilities: store.capabilities,
    async create(spec, events, patch) {
      await store.create(spec, events, patch)
      seen(spec.run_id, events)
      changed(spec.run_id)
      // Their place in the chain of tries changes now.
      for (const before of new Set([spec.first_run, spec.retry_of])) if (before !== undefined) changed(before)
    },
    async update(runId, change) {
      const isShared = change.patch !== undefined && 'shares' in change.patch
      const before = isShared ? (await store.get(runId))?.shares : undefined
      await store.update(runId, change)
      seen(runId, change.events)
      if (change.patch !== undefined && Object.keys(change.patch).length > 0) changed(runId, before)
    },
    get: (runId) => store.get(runId),
    list: (query) => store.list(query),
    counts: (query) => store.counts(query),
    async events(runId, after, limit) {
      const events = await store.events(runId, after, limit)
      read(runId, events)
      return events
    },
    open: () => store.open(),
    markInterrupted: (message, runIds) => store.markInterrupted(message, runIds),
    remove: (runIds) => store.remove(runIds),
    close: () => store.close(),
  }
}

/** Logs events of a run after their commit: an end other than success, and each step at `debug`. */
export function logRun(log: Log, run_id: string, events: readonly RunEvent[]): void {
  for (const event of events) {
    if (event.type === 'run.created')
      log(`Run ${run_id} of "${event.workflow_name}" was created.`, { level: 'debug', run_id })
    else if (event.type === 'run.finished') {
      const level = event.status === 'success' ? 'debug' : 'info'
      log(`Run ${run_id} ended: ${withWhy(event.status, event)}`, { level, run_id })
    } else if (event.type === 'attempt.assigned' || event.type === 'attempt.started') {
      const attempt_id = attemptId(run_id, event.attempt)
      const what = event.type === 'attempt.started' ? 'has started' : `was given to "${event.runner}"`
      log(`Attempt ${attempt_id} ${what}.`, { level: 'debug', run_id, attempt_id })
    } else if (event.type === 'attempt.finished') {
      const attempt_id = attemptId(run_id, event.attempt)
      const end = withWhy(event.outcome, event)
      log(`Attempt ${attempt_id} of step "${event.step}" ended: ${end}`, {
        level: 'debug',
        run_id,
        attempt_id,
      })
    }
  }
}

/** Adds only the reason: a message may contain what a step printed. */
const withWhy = (end: string, { reason }: { reason?: string }): string =>
  reason === undefined || reason === end ? `${end}.` : `${end} (${reason}).`
