import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errandHome } from './errand-home.ts'

const KEPT_DAYS = 7

/** Where output goes that outgrows `max_output_bytes` and was given no folder. */
export const spillFolder = (state: string | undefined): string => join(state ?? errandHome(), 'output')

/** After a run that left something there: what older runs left goes. */
export function dropOldSpills(folder: string, runId: string): void {
  if (!existsSync(join(folder, runId))) return
  const oldestMs = Date.now() - KEPT_DAYS * 24 * 60 * 60 * 1000
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    // Another run may be doing the same.
    if (stat !== undefined && stat.mtimeMs < oldestMs) rmSync(path, { recursive: true, force: true })
  }
}
