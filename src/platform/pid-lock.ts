import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { bootId, parseStat, procText, signal } from './proc.ts'

/** The process that holds a lock; its start time tells it from a later process with the same number. */
export interface Holder {
  pid: number
  started: string
}

/**
 * Returns the process's start, in ticks since boot, and the boot. Empty when the system does not say, or the process
 * has ended.
 */
function startOf(pid: number): string {
  // A killed process keeps its number until its parent waits for it, which may be never.
  const stat = parseStat(procText(pid, 'stat') ?? '')
  const boot = bootId()
  return stat === undefined || boot === '' ? '' : `${boot} ${stat.start}`
}

export const thisProcess = (): Holder => ({ pid: process.pid, started: startOf(process.pid) })

/** Reports whether exactly that process is alive. */
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
    // Only a manual edit leaves an incomplete lock: it counts as held by nobody.
    return { pid: -1, started: '' }
  }
}

/** Returns who has the lock, or has left it behind. Undefined when there is no lock. */
export function lockHolder(file: string): { pid: number; alive: boolean } | undefined {
  const holder = readHolder(file)
  return holder && { pid: holder.pid, alive: holder.pid > 0 && isHolding(holder) }
}

export type LockResult = { release(): void } | { holder: Holder }

/** Takes the lock `file` for this process, or says who has it. Takes over a lock that a dead process left behind. */
export function takePidLock(file: string): LockResult {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const mine = `${file}.${process.pid}`
  writeFileSync(mine, JSON.stringify(thisProcess()))
  try {
    for (;;) {
      try {
        // A link is created as a whole or not at all, so that nobody ever reads a half-written lock.
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

/** Removes a dead process's lock. If a living process's lock has replaced it meanwhile, that one is put back. */
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
