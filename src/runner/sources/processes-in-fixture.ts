import { readdirSync, readlinkSync } from 'node:fs'

/** Processes that work in a folder. */
export function processesIn(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return pids.filter((pid) => cwd(pid).startsWith(folder)).map(Number)
}

function cwd(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
