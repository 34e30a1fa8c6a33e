import type { RunEvent } from '../../contract/events.ts'
import type { RunStore } from '../../engine/ports.ts'

type Told = (runId: string, events: readonly RunEvent[]) => void

/** The same store; `seen` is told of the events of each commit, after it, `read` of those that are read. They must not throw. */
export function observedStore(store: RunStore, { seen, read }: { seen: Told; read: Told }): RunStore {
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
