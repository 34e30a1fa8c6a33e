import { closeSync, fstatSync, ftruncateSync, openSync, rmSync } from 'node:fs'
import type { StreamName } from '../../contract/attempt.ts'
import { newCursor, readCursor } from './log-cursor.ts'

/**
 * Cuts the files of an earlier process of this runner off where its cursor stands. Where they are shorter (the power
 * failed), all of the log is read again.
 */
export function restoreLog(cursorFile: string, files: Readonly<Record<StreamName, string>>): void {
  const { stdout, stderr } = readCursor(cursorFile) ?? newCursor()
  const fds = { stdout: openSync(files.stdout, 'a', 0o600), stderr: openSync(files.stderr, 'a', 0o600) }
  try {
    const isWhole = fstatSync(fds.stdout).size >= stdout.length && fstatSync(fds.stderr).size >= stderr.length
    if (!isWhole) rmSync(cursorFile, { force: true })
    ftruncateSync(fds.stdout, isWhole ? stdout.length : 0)
    ftruncateSync(fds.stderr, isWhole ? stderr.length : 0)
  } finally {
    closeSync(fds.stdout)
    closeSync(fds.stderr)
  }
}
