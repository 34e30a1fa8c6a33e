import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isBelow } from '../../platform/files.ts'
import { lockHolder } from '../../platform/pid-lock.ts'
import { TICKS_PER_SECOND, visibleProcesses } from '../../platform/proc.ts'
import {
  type AttemptProcesses,
  attemptProcesses,
  endAttempt,
} from '../../runner/orphans/attempt-processes.ts'
import { type Check, type CheckContext, type Finding, ok, warning } from './check.ts'

/** Describes an attempt that is still running, and whose end nobody can report. */
export interface Orphan {
  /** Absent if no visible process shows it. */
  attempt_id?: string
  /** Folder of its runner. */
  folder: string
  why: 'folder_gone' | 'runner_gone'
  processes: { pid: number; since: string; command: string }[]
}

type OrphanCandidate = AttemptProcesses & Pick<Orphan, 'why'>

/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE_MS = 10_000
/** Time in which a runner that is just restarting resumes its attempts. */
const BACK_WITHIN_MS = 3_000
const MOST_NAMED = 5
const MOST_COMMAND = 80

export const orphans: Check = {
  name: 'orphans',
  async run({ only }) {
    const found = findOrphans(only)
    if (found.length === 0) return [ok('No step is running without its runner.')]
    return found.map(findingOf)
  },
}

/** Lists the orphans as `--json` shows them. */
export const orphansNow = (only: CheckContext['only']): Orphan[] => findOrphans(only).map(orphanOf)

/** Ends all orphans, and reports for each whether it is gone. */
export async function endOrphans(only: CheckContext['only']): Promise<(Orphan & { gone: boolean })[]> {
  let found = findOrphans(only)
  if (found.some(({ why }) => why === 'runner_gone')) {
    await sleep(BACK_WITHIN_MS)
    const still = new Set(findOrphans(only).map(({ key }) => key))
    found = found.filter(({ key }) => still.has(key))
  }
  return await Promise.all(
    found.map(async (each) => ({ ...orphanOf(each), gone: await endAttempt(each.key, GRACE_MS) })),
  )
}

/** Finds the processes of attempts without a living runner. A runner owns its attempts even before it resumes them. */
function findOrphans(only: CheckContext['only']): OrphanCandidate[] {
  const all = attemptProcesses().filter(
    ({ folder }) => only === undefined || only.some((each) => isBelow(folder, each)),
  )
  const folders = new Set(all.map(({ folder }) => folder))
  const living = new Set([...folders].filter((folder) => lockHolder(join(folder, 'lock'))?.alive === true))
  if (living.size < folders.size) for (const folder of journalKeepers(folders)) living.add(folder)
  return all
    .filter(({ folder }) => !living.has(folder))
    .map((each) => ({ ...each, why: existsSync(each.folder) ? 'runner_gone' : 'folder_gone' }))
}

/** Finds the folders in which a process has an attempt's journal open, as a runner has after its folder was deleted. */
function journalKeepers(folders: ReadonlySet<string>): string[] {
  const open = visibleProcesses().flatMap(({ pid }) => linksOf(`/proc/${pid}/fd`))
  const journals = open.filter((link) => /\/reports( \(deleted\))?$/.test(link))
  return [...folders].filter((folder) => journals.some((link) => link.startsWith(`${folder}/attempts/`)))
}

/** Reads the links in a folder; none if the process is gone or belongs to another user. */
function linksOf(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => readlinkSync(join(folder, name)))
  } catch {
    return []
  }
}

function findingOf(orphan: OrphanCandidate): Finding {
  const { attempt_id = 'of unknown id', folder, why, processes } = orphanOf(orphan)
  const named = processes
    .slice(0, MOST_NAMED)
    .map(({ pid, since, command }) => `${pid} since ${since} (${command})`)
  const more = processes.length - named.length
  const what = why === 'folder_gone' ? `whose folder ${folder} is gone` : `whose folder is ${folder}`
  return warning(
    `Attempt ${attempt_id} is running without its runner, ${what}: process ${named.join(', ')}${more > 0 ? `, and ${more} more` : ''}.`,
    why === 'folder_gone'
      ? 'No runner can resume it. End it with: errand doctor --end-orphans'
      : 'Start that runner, which resumes it, or end it with: errand doctor --end-orphans',
  )
}

const orphanOf = ({ attemptId, folder, why, processes }: OrphanCandidate): Orphan => ({
  attempt_id: attemptId,
  folder,
  why,
  processes: processes.map(({ pid, start, command }) => ({
    pid,
    since: sinceOf(start),
    command: command.length > MOST_COMMAND ? `${command.slice(0, MOST_COMMAND)}…` : command,
  })),
})

function sinceOf(start: string): string {
  const bootMs = Date.now() - uptime() * 1000
  return `${new Date(bootMs + (Number(start) / TICKS_PER_SECOND) * 1000).toISOString().slice(0, 19)}Z`
}
