import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { diskError } from './disk-errors.ts'

/** The files that a hub makes in its data folder after its database, and those that belong to that alone. */
const TOKEN = 'local-token'
const OUTPUT = 'output'
const OF_A_DATABASE = ['errand.db', 'errand.db-wal', 'errand.db-shm', 'errand.db-commits', OUTPUT, 'uploads']

/** The refusal of a data folder in which a hub has been, and whose database is gone or empty; else undefined. */
export function lostDatabase(data: string): ErrandError | undefined {
  const file = join(data, 'errand.db')
  const bytes = statSync(file, { throwIfNoEntry: false })?.size
  if (bytes !== undefined && bytes > 0) return undefined
  const left = existsSync(join(data, TOKEN)) ? [TOKEN] : []
  if (hasContent(join(data, OUTPUT))) left.push(OUTPUT)
  if (left.length === 0) return undefined
  return new ErrandError(
    'store_failed',
    `The database ${file} is ${bytes === undefined ? 'gone' : 'empty'}, but a hub has been here: there is ${left.join(' and ')}.`,
    {
      hint: 'Put it back, or restore a backup into another folder (errand restore). To begin anew here, with no runs and no users: errand up --new',
    },
  )
}

/** Puts aside what a hub has left whose database is gone; answers in which folder, where there was something. */
export function startAnew(data: string, now = new Date()): string | undefined {
  if (lostDatabase(data) === undefined) return undefined
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

function hasContent(folder: string): boolean {
  return (
    (statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false) && readdirSync(folder).length > 0
  )
}
