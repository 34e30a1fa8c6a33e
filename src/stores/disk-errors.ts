import { ErrandError, messageOf } from '../contract/errors.ts'

const fileInTheWay = 'A file is in the way where a folder is needed. Move it away, or use another folder.'
const hints: Record<string, string> = {
  EROFS: 'The file system is mounted read-only. Mount it writable, or use another folder.',
  EACCES: 'Make it readable and writable for this user.',
  EPERM: 'Make it readable and writable for this user.',
  EEXIST: fileInTheWay,
  ENOTDIR: fileInTheWay,
  EMFILE: 'Too many files are open. Raise the limit (ulimit -n).',
  ENFILE: 'Too many files are open on this machine. Raise its limit.',
  EIO: 'Check the disk: the system reports I/O errors there.',
}

const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

export const isMissing = (error: unknown): boolean => systemCode(error) === 'ENOENT'

const isFull = (code: string | undefined): boolean => code === 'ENOSPC' || code === 'EDQUOT'

/** Translates an error of node:fs that is caused by the disk or by missing rights; undefined for any other error. */
export function diskFault(error: unknown): ErrandError | undefined {
  const code = systemCode(error)
  const { path, syscall = '' } = error as NodeJS.ErrnoException
  // When a write fails, node:fs names no file.
  if (isFull(code)) return diskError(error, path ?? 'a file')
  if (code === undefined || path === undefined || !Object.hasOwn(hints, code)) return undefined
  // For a socket or a program the path is not a file that was read or written.
  return /^(spawn|connect|listen|bind)/.test(syscall) ? undefined : diskError(error, path)
}

/** Translates an error of node:fs at this path for a person. Returns an ErrandError unchanged. */
export function diskError(error: unknown, path: string): ErrandError {
  if (error instanceof ErrandError) return error
  const code = systemCode(error)
  if (isFull(code))
    return new ErrandError('disk_full', `No space is left to write ${path}.`, {
      hint: 'Free some space on that disk. Everything that is already stored is intact.',
      cause: error,
    })
  return new ErrandError('store_failed', `${path} could not be read or written: ${messageOf(error)}.`, {
    hint: (code === undefined ? undefined : hints[code]) ?? 'Check that path, then try again.',
    cause: error,
  })
}
