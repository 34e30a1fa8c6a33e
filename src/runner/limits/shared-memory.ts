import { readFileSync } from 'node:fs'

/**
 * What a process uses: of pages that several share, its part; and what of it is swapped out. Undefined where it is
 * gone, or where that may not be read.
 */
export function proportionalBytes(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
    const kiB = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
    return (kiB('Pss') + kiB('SwapPss')) * 1024
  } catch {
    return undefined
  }
}

/** Whether memory can leave the resident sets of processes without being freed. */
export function hasSwap(): boolean {
  try {
    return readFileSync('/proc/swaps', 'latin1').trim().includes('\n')
  } catch {
    return false
  }
}
