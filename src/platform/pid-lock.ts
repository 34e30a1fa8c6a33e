import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { bootId, parseStat, procText, signal } from './proc.ts'

/** Who holds a lock: a process, told from a later one with the same number by when it started. */
export interface Holder {
  pid: number
  started: string
}

/** The process's start, in ticks since boot, and the boot; empty where the system does not say, or it has ended. */
function startOf(pid: number): string {
  // One that was killed keeps its number until its parent asks for its end, which may be never.
  const stat = parseStat(procText(pid, 'stat') ?? '')
  const boot = bootId()
  return stat === undefined || boot === '' ? '' : `${boot} ${stat.start}`
}

export const thisProcess = (): Holder => ({ pid: process.pid, started: startOf(process.pid) })

/** Whether that very process is alive. */
export function isHolding({ pid, started }: Holder): boolean {
  if (!signal(pid, 0)) return false
  return started === '' || startOf(pid) === started
}

function readHolder(file: string): Holder | undefined {
  try {
    const { pid, started } = JSON.parse(readFileSync(file, 'utf8')) as Holder
    return { pid, started }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    // No whole lock is ever visible but by hand: it counts as one that nobody holds.
    return { pid: -1, started: '' }
  }
}

/** Who has the lock, or has left it; undefined where there is none. */
export function lockHolder(file: string): { pid: number; alive: boolean } | undefined {
  const holder = readHolder(file)
  return holder && { pid: holder.pid, alive: holder.pid > 0 && isHolding(holder) }
}

export type LockResult = { release(): void } | { holder: Holder }

/** Takes the lock `file` for this process, or says who has it. One that a dead process left is taken over. */
export function takePidLock(file: string): LockResult {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const mine = `${file}.${process.pid}`
  writeFileSync(mine, JSON.stringify(thisProcess()))
  try {
    for (;;) {
      try {
        // A link is made whole or not at all, so that no half-written lock is ever read.
        linkSync(mine, file)
        return { release: () => rmSync(file, { force: true }) }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const holder = readHolder(file)
      if (holder === undefined) continue
      if (holder.pid > 0 && isHolding(holder)) return { holder }
      takeAway(file, holder)
    }
  } finally {
    rmSync(mine, { force: true })
  }
}

/** Removes a dead process's lock; a living one's that has come in its place is put back. */
function takeAway(file: string, dead: Holder): void {
  const aside = `${file}.${process.pid}.old`
  try {
    renameSync(file, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const taken = readHolder(aside)
  if (taken !== undefined && (taken.pid !== dead.pid || taken.started !== dead.started))
    renameSync(aside, file)
  else rmSync(aside, { force: true })
}
