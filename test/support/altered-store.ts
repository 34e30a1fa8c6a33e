import type { RunStore } from '../../src/engine/ports.ts'

/** Returns the store with the given methods replaced. */
export function alteredStore(store: RunStore, changes: Partial<RunStore>): RunStore {
  return {
    capabilities: store.capabilities,
    create: (...args) => store.create(...args),
    update: (...args) => store.update(...args),
    get: (id) => store.get(id),
    list: (query) => store.list(query),
    counts: (query) => store.counts(query),
    events: (...args) => store.events(...args),
    open: () => store.open(),
    markInterrupted: (...args) => store.markInterrupted(...args),
    remove: (runIds) => store.remove(runIds),
    close: () => store.close(),
    ...changes,
  }
}
