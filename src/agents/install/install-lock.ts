import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const BUSY = 5

/** One install at a time in a folder: a lock of the system's, which no dead process can leave behind. */
export async function withInstallLock<T>(
  folder: string,
  options: { waiting(): void; signal?: AbortSignal },
  body: () => Promise<T>,
): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = new DatabaseSync(join(folder, '.install-lock'), { timeout: 0 })
  try {
    for (let told = false; !taken(lock); told = true) {
      if (!told) options.waiting()
      await sleep(200, undefined, { signal: options.signal })
    }
    return await body()
  } finally {
    lock.close()
  }
}

function taken(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if ((error as { errcode?: number }).errcode === BUSY) return false
    throw error
  }
}
