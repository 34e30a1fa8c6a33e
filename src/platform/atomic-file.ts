import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/**
 * Puts a whole file in the place of the one that is there: a reader, or a start after a crash, finds the old one or
 * the new one. `durable` (default true): it is on the disk when this returns, even if the power fails.
 * Throws what node:fs throws, and leaves nothing then.
 */
export function writeFileAtomic(
  file: string,
  data: string | Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): void {
  const { mode = 0o644, durable = true } = options
  // No random bytes: loading what makes them takes a command that does nothing else a tenth of its time.
  const temporary = `${file}.${process.pid}.${process.hrtime.bigint().toString(36)}.tmp`
  try {
    const descriptor = openSync(temporary, 'wx', mode)
    try {
      writeFileSync(descriptor, data)
      if (durable) fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  if (durable) syncFolder(path.dirname(file))
}

/** Makes what was created, renamed or deleted in the folder last, where the system can do so. */
export function syncFolder(folder: string): void {
  // Windows opens no folders.
  if (process.platform === 'win32') return
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
