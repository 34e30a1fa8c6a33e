import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** Removes a cgroup, and those that its processes made below it; false where a process is still in one. */
export function removeCgroup(folder: string): boolean {
  try {
    for (const name of cgroupsBelow(folder)) removeCgroup(join(folder, name))
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Makes it where it is not there; false where that is not allowed. */
export function makeCgroup(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true })
    return true
  } catch {
    return false
  }
}

/** Names of the cgroups below it; none where it is gone. */
export function cgroupsBelow(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch {
    return []
  }
}
