import { readFileSync, writeFileSync } from 'node:fs'

/** Undefined where there is no such file, or it cannot be read just now. */
export function readControl(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}

/** The number that the file holds, or that stands after `key` in it. */
export function readNumber(path: string, key?: string): number | undefined {
  const text = readControl(path)
  if (text === undefined) return undefined
  const value = key === undefined ? text : new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]
  return value !== undefined && /^\d+\s*$/.test(value) ? Number(value) : undefined
}

export function readPids(folder: string): number[] {
  const lines = readControl(`${folder}/cgroup.procs`)?.split('\n') ?? []
  return lines.map(Number).filter((pid) => pid > 0)
}

/** Throws as the kernel refuses it. */
export function writeControl(path: string, value: string | number): void {
  writeFileSync(path, String(value))
}

/** False: the kernel has no such file, or refuses it. */
export function tryControl(path: string, value: string | number): boolean {
  try {
    writeControl(path, value)
    return true
  } catch {
    return false
  }
}
