import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { endTree } from '../../platform/child-tree.ts'
import { processesMarked } from '../../platform/proc.ts'
import { AttemptFolder, removeAttemptFolders } from '../../runner/attempts/attempt-folder.ts'
import { markOf } from '../../runner/attempts/launch.ts'
import type { LocalRecord } from './local-run-registry.ts'
import { localFolder } from './local-sessions.ts'

const GRACE_MS = 5_000

/**
 * Ends the processes that a killed command left running and removes its files, except for runs that another command
 * has resumed. Returns whether all of it is gone.
 */
export async function sweepCommand(record: LocalRecord, taken: ReadonlySet<string>): Promise<boolean> {
  const { key, tmp, runs, kept } = record
  const beginning = markOf(`${key}/`)
  const gone = await Promise.all([
    endTree({ mark: beginning, members: () => processesMarked(beginning) }, GRACE_MS),
    ...runs.filter((runId) => !taken.has(runId)).map((runId) => sweepRun(runId, kept)),
  ])
  if (gone.includes(false)) return false
  for (const name of existsSync(tmp) ? readdirSync(tmp) : [])
    if (name.startsWith(`errand-${key}-`)) rmSync(join(tmp, name), { recursive: true, force: true })
  return true
}

async function sweepRun(runId: string, isStored: boolean): Promise<boolean> {
  const folder = join(localFolder(), 'attempts', runId)
  if (!existsSync(folder)) return true
  const marks = readdirSync(folder).flatMap((name) => {
    const facts = new AttemptFolder(join(folder, name)).facts()
    return facts === undefined ? [] : [markOf(facts.key)]
  })
  const gone = await Promise.all(marks.map((mark) => endTree({ mark }, GRACE_MS)))
  if (!isStored) removeAttemptFolders(folder)
  return !gone.includes(false)
}
