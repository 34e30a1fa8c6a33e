import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
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

/** Makes all that is in the folder last, and the folder itself: its files, then the names that lead to them. */
export function syncTree(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) sync(path.join(folder, name))
  syncFolder(folder)
  syncFolder(path.dirname(folder))
}

/** Makes what was created, renamed or deleted in the folder last, where the system can do so. */
export function syncFolder(folder: string): void {
  // Windows opens no folders.
  if (process.platform !== 'win32') sync(folder)
}

function sync(file: string): void {
  const descriptor = openSync(file, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
