import type { RunStore } from '../../engine/ports.ts'
import type { SqliteStores } from './sqlite/stores.ts'

/**
 * Opens or makes the database `file`; `:memory:` is one that nothing lasts of. node:sqlite is loaded only now. One
 * process at a time may use a file. Throws `store_failed`, `disk_full`.
 */
export async function openSqliteStores(options: { file: string }): Promise<SqliteStores> {
  const { openStores } = await import('./sqlite/stores.ts')
  return openStores(options.file)
}

/** The runs alone, for a program that embeds the engine: closing the store closes the database. */
export async function openSqliteRunStore(options: { file: string }): Promise<RunStore> {
  const { runs, close } = await openSqliteStores(options)
  return {
    capabilities: runs.capabilities,
    create: (spec, events, patch) => runs.create(spec, events, patch),
    update: (runId, change) => runs.update(runId, change),
    get: (runId) => runs.get(runId),
    list: (query) => runs.list(query),
    events: (runId, after, limit) => runs.events(runId, after, limit),
    open: () => runs.open(),
    markInterrupted: (message, runIds) => runs.markInterrupted(message, runIds),
    remove: (runIds) => runs.remove(runIds),
    close: async () => close(),
  }
}
