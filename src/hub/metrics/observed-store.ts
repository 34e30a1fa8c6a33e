import type { RunEvent } from '../../contract/events.ts'
import type { RunStore } from '../../engine/ports.ts'

/** The same store; `seen` is told of the events of each commit, after it. It must not throw. */
export function observedStore(
  store: RunStore,
  seen: (runId: string, events: readonly RunEvent[]) => void,
): RunStore {
  return {
    capabilities: store.capabilities,
    async create(spec, events, patch) {
      await store.create(spec, events, patch)
      seen(spec.run_id, events)
    },
    async update(runId, change) {
      await store.update(runId, change)
      seen(runId, change.events)
    },
    get: (runId) => store.get(runId),
    list: (query) => store.list(query),
    events: (runId, after, limit) => store.events(runId, after, limit),
    open: () => store.open(),
    markInterrupted: (message, runIds) => store.markInterrupted(message, runIds),
    remove: (runIds) => store.remove(runIds),
    close: () => store.close(),
  }
}
