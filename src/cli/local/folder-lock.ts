import { statSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { makeFolderSync } from '../../platform/files.ts'
import { type LockResult, takePidLock } from '../../platform/pid-lock.ts'
import { diskError } from '../../stores/disk-errors.ts'

interface LockedFolder {
  path: string
  /** Name of the folder in messages, such as `data folder`. */
  what: string
  /** Option that names another folder. */
  option: string
}

/** Takes the named lock in a folder, which is created if it is missing. Throws `invalid_argument` or `disk_full`. */
export function takeFolderLock({ path, what, option }: LockedFolder, name: string): LockResult {
  try {
    makeFolderSync(path, 0o700)
    return takePidLock(join(path, name))
  } catch (cause) {
    const full = diskError(cause, path)
    if (full.code === 'disk_full')
      throw new ErrandError('disk_full', `No space is left in the ${what} ${path}.`, {
        hint: `Free some space on that disk, or name another folder with ${option}.`,
        cause,
      })
    const why =
      statSync(path, { throwIfNoEntry: false })?.isDirectory() === false
        ? 'is a file, not a folder'
        : `cannot be used: ${(cause as Error).message}`
    throw new ErrandError('invalid_argument', `The ${what} ${path} ${why}.`, {
      hint: `Name another folder with ${option}.`,
      cause,
    })
  }
}
