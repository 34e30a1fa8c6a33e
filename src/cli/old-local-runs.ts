import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { removeAttemptFolders } from '../runner/attempts/attempt-folders.ts'

const KEPT_DAYS = 30

/** Of the runs kept on this machine those that nothing has come to for long go. */
export function dropOldRuns(folder: string): void {
  const runs = join(folder, 'runs')
  if (!existsSync(runs)) return
  const oldestMs = Date.now() - KEPT_DAYS * 24 * 60 * 60 * 1000
  for (const runId of readdirSync(runs)) {
    if (
      (statSync(join(runs, runId, 'events.jsonl'), { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) >=
      oldestMs
    )
      continue
    for (const kind of ['runs', 'output', 'secrets'])
      rmSync(join(folder, kind, runId), { recursive: true, force: true })
    removeAttemptFolders(join(folder, 'attempts', runId))
  }
}
