import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockHolder } from '../../platform/pid-lock.ts'
import { AttemptFolder, outlivesBoot } from '../attempts/attempt-folder.ts'
import type { JournalEntry } from '../attempts/journal.ts'
import { readPids } from '../limits/cgroups.ts'
import { endAttempt, isThere } from './attempt-processes.ts'

export interface TimeGuardOptions {
  /** Folder of the runner. */
  folder: string
  /** Time in ms between SIGTERM and SIGKILL. */
  graceMs: number
  /** Time between checks for a runner. */
  everyMs: number
}

/** Time in which a runner that comes back may end an attempt itself. */
const SLACK_MS = 1_000

/**
 * Enforces the time limits of attempts while their runner is away. Returns when no attempt with a limit is left, or
 * when a runner has the folder again. It reads all that it needs first, since the folder may be deleted.
 */
export async function guardTimes({ folder, graceMs, everyMs }: TimeGuardOptions): Promise<void> {
  let limited = limitedAttempts(folder)
  for (;;) {
    limited = limited.filter(({ key }) => isThere(key))
    if (limited.length === 0 || lockHolder(join(folder, 'lock'))?.alive === true) return
    const nowMs = performance.now()
    const due = limited.filter(({ endsAtMs }) => endsAtMs + SLACK_MS <= nowMs)
    await Promise.all(due.map((each) => endLate(each, graceMs)))
    limited = limited.filter((each) => !due.includes(each))
    const firstMs = Math.min(...limited.map(({ endsAtMs }) => endsAtMs + SLACK_MS))
    if (limited.length > 0) await sleep(Math.max(0, Math.min(firstMs - nowMs, everyMs)))
  }
}

/** Reports whether an attempt with a time limit is running in the runner's folder. */
export const hasLimited = (folder: string): boolean => limitedAttempts(folder).some(({ key }) => isThere(key))

interface LimitedAttempt {
  folder: AttemptFolder
  key: string
  /** Measured by the clock that nobody can set. */
  endsAtMs: number
  cgroups: readonly string[]
}

function limitedAttempts(folder: string): LimitedAttempt[] {
  const attempts = join(folder, 'attempts')
  let names: string[]
  try {
    names = readdirSync(attempts)
  } catch {
    return []
  }
  return names.flatMap((name) => limitedAttempt(new AttemptFolder(join(attempts, name))) ?? [])
}

/** Reads an attempt; undefined if it has no limit, has not begun, has ended or has no processes of its own. */
function limitedAttempt(folder: AttemptFolder): LimitedAttempt | undefined {
  try {
    const facts = folder.facts()
    const { timeout_ms } = facts?.spec ?? {}
    if (facts === undefined || timeout_ms === undefined || outlivesBoot(facts)) return undefined
    const begunMs = begunAtMs(folder)
    if (begunMs === undefined) return undefined
    const cgroups = Object.values(facts.cage?.folders ?? {})
    const endsAtMs = performance.now() + begunMs + timeout_ms - Date.now()
    return { folder, key: facts.key, endsAtMs, cgroups }
  } catch {
    // It was deleted meanwhile.
    return undefined
  }
}

/** Returns when an attempt began: as its runner reported it, or else as its wrapper claimed it. */
function begunAtMs(folder: AttemptFolder): number | undefined {
  for (const line of readFileSync(folder.file('reports'), 'utf8').split('\n').slice(0, -1)) {
    const entry = JSON.parse(line) as JournalEntry
    if (entry.type !== 'report') continue
    if (entry.report.type === 'ended') return undefined
    if (entry.report.type === 'started' && entry.report.time !== undefined)
      return Date.parse(entry.report.time)
  }
  const claim = folder.claim(1)
  return claim.type === 'wrapper' ? claim.atMs : undefined
}

async function endLate({ folder, key, cgroups }: LimitedAttempt, graceMs: number): Promise<void> {
  try {
    folder.noteOvertime()
  } catch {
    // Nobody can read it there any more.
  }
  await endAttempt(key, graceMs, () => cgroups.flatMap(readPids))
}
