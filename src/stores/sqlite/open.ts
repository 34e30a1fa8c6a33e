import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { RunStore } from '../../engine/ports.ts'
import { diskError } from '../disk-errors.ts'
import type { SqliteStores } from './stores.ts'

/**
 * Opens or creates the database `file`; `:memory:` is one that does not outlast the process. node:sqlite is loaded only
 * now. One process at a time may use a file. Throws `store_failed`, `disk_full`.
 */
export async function openSqliteStores(options: { file: string }): Promise<SqliteStores> {
  const { openStores } = await import('./stores.ts')
  return openStores(options.file)
}

/** Opens only the runs, for a program that embeds the engine: closing the store closes the database. */
export async function openSqliteRunStore(options: { file: string }): Promise<RunStore> {
  const { runs, close } = await openSqliteStores(options)
  return {
    capabilities: runs.capabilities,
    create: (spec, events, patch) => runs.create(spec, events, patch),
    update: (runId, change) => runs.update(runId, change),
    get: (runId) => runs.get(runId),
    list: (query) => runs.list(query),
    counts: (query) => runs.counts(query),
    events: (runId, after, limit) => runs.events(runId, after, limit),
    open: () => runs.open(),
    markInterrupted: (message, runIds) => runs.markInterrupted(message, runIds),
    remove: (runIds) => runs.remove(runIds),
    close: async () => close(),
  }
}

/** The files that a hub creates in its data folder after its database, and those that belong only to the database. */
const TOKEN = 'local-token'
const CONTENTS = ['output', 'artifacts']
const OF_A_DATABASE = [
  'errand.db',
  'errand.db-wal',
  'errand.db-shm',
  'errand.db-commits',
  ...CONTENTS,
  'uploads',
]

/**
 * Returns the refusal of a data folder that a hub has used, and whose database is gone or empty; otherwise undefined.
 */
export function lostDatabase(data: string): ErrandError | undefined {
  const file = join(data, 'errand.db')
  const bytes = statSync(file, { throwIfNoEntry: false })?.size
  if (bytes !== undefined && bytes > 0) return undefined
  const left = existsSync(join(data, TOKEN)) ? [TOKEN] : []
  left.push(...CONTENTS.filter((name) => hasContent(join(data, name))))
  if (left.length === 0) return undefined
  return new ErrandError(
    'store_failed',
    `The database ${file} is ${bytes === undefined ? 'missing' : 'empty'}, but a hub has used this folder: it contains ${left.join(' and ')}.`,
    {
      hint: 'Put the file back, or restore a backup into another folder (errand restore). To start fresh here, without runs and users: errand up --new',
    },
  )
}

/**
 * Moves the remains of a hub aside if it has no database, or one from before the baseline. Returns the new folder, if
 * there was something.
 */
export async function startEmpty(data: string, now = new Date()): Promise<string | undefined> {
  if (lostDatabase(data) === undefined && !(await hasOlderDatabase(join(data, 'errand.db')))) return undefined
  const aside = join(data, `before-${now.toISOString().replaceAll(':', '-')}`)
  try {
    mkdirSync(aside, { mode: 0o700 })
    for (const name of [...OF_A_DATABASE, TOKEN])
      if (existsSync(join(data, name))) renameSync(join(data, name), join(aside, name))
    return aside
  } catch (error) {
    throw diskError(error, aside)
  }
}

async function hasOlderDatabase(file: string): Promise<boolean> {
  if (!existsSync(file)) return false
  const { isOlderDatabase } = await import('./database.ts')
  return isOlderDatabase(file)
}

function hasContent(folder: string): boolean {
  return (
    (statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false) && readdirSync(folder).length > 0
  )
}
