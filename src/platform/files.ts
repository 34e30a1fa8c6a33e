import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises'
import path, { delimiter, dirname, isAbsolute, join, resolve } from 'node:path'

/**
 * Replaces a file as a whole: a reader, or a start after a crash, finds either the old or the new one. With `durable`
 * (default true) it is on disk when this returns, even if the power fails. Throws what node:fs throws, with the path of
 * `file`, and then leaves nothing behind.
 */
export function writeFileAtomic(
  file: string,
  data: string | Uint8Array,
  options: { mode?: number; durable?: boolean } = {},
): void {
  const { mode = 0o644, durable = true } = options
  // No random bytes: loading the module for them takes a tenth of the time of a command that does nothing else.
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
    try {
      rmSync(temporary, { force: true })
    } catch {
      // Not random, for the same reason.
    }
    throw withPath(error as NodeJS.ErrnoException, file)
  }
  if (durable) syncFolder(path.dirname(file))
}

/**
 * Adds the file's path to an error of a call with a descriptor, which names no file: otherwise nobody would know which
 * file was on the full disk.
 */
function withPath(error: NodeJS.ErrnoException, file: string): NodeJS.ErrnoException {
  if (error.path === undefined) error.message = `${error.message} '${file}'`
  error.path = file
  return error
}

/** Makes a folder and all that it contains durable: first the files, then the names that lead to them. */
export function syncTree(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    syncFile(path.join(folder, name))
  syncFolder(folder)
  syncFolder(path.dirname(folder))
}

/** Makes the creations, renames and deletions in the folder durable, where the system can do so. */
export function syncFolder(folder: string): void {
  // Windows cannot open folders.
  if (process.platform !== 'win32') syncFile(folder)
}

function syncFile(file: string): void {
  const descriptor = openSync(file, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/**
 * Creates a folder and its missing parents; an existing folder is not an error. Use it for paths that others choose:
 * Node's own `recursive` loops forever, on a thread that nothing ends, below an existing folder that accepts no new
 * ones (`/proc`).
 */
export async function makeFolder(path: string, mode?: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' || dirname(path) === path) return await mustBeFolder(path, error)
    await makeFolder(dirname(path), mode)
    await mkdir(path, { mode }).catch((again: unknown) => mustBeFolder(path, again))
  }
}

/** Creates a folder as `makeFolder` does, synchronously. */
export function makeFolderSync(path: string, mode?: number): void {
  for (let tries = 1; ; tries++)
    try {
      mkdirSync(path, { mode })
      return
    } catch (error) {
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' || dirname(path) === path || tries === 2) throw error
      makeFolderSync(dirname(path), mode)
    }
}

async function mustBeFolder(path: string, error: unknown): Promise<void> {
  const found = await stat(path).catch(() => undefined)
  if (!found?.isDirectory()) throw error
}

/** Deletes a folder with its contents; a missing folder is not an error. */
export async function removeTree(path: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 }
  await rm(path, options).catch(async () => {
    // Build tools leave read-only folders, such as Go's module cache.
    await unlockFolders(path)
    await rm(path, options)
  })
}

async function unlockFolders(path: string): Promise<void> {
  await chmod(path, 0o700)
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await unlockFolders(join(path, entry.name))
}

/** The kernel's own limit. */
const MOST_LINKS = 40

/**
 * Resolves a path as the kernel does: each link is followed before a `..` behind it counts, and a missing file resolves
 * to where it would be created. Throws for a circle of links.
 */
export function realPath(path: string, cwd: string): string {
  const waiting = parts(isAbsolute(path) ? path : `${resolve(cwd)}/${path}`)
  let at = '/'
  let links = 0
  for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
    if (part === '..') {
      at = dirname(at)
      continue
    }
    const next = join(at, part)
    const target = linkAt(next)
    if (target === undefined) {
      at = next
      continue
    }
    if (++links > MOST_LINKS) throw new Error(`${path} leads through too many links`)
    if (isAbsolute(target)) at = '/'
    waiting.unshift(...parts(target))
  }
  return at
}

const parts = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.')

function linkAt(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch (error) {
    // A folder that this process may not read hides its links from this process and from the agent alike.
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw error
  }
}

/** Reports whether a path is the folder or below it; both must come from `realPath`. */
export const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)

/** Finds the file that a program's name stands for, as a shell does. Returns undefined when there is none to run. */
export function findProgram(name: string, path: string, cwd: string): string | undefined {
  const candidates = name.includes('/')
    ? [resolve(cwd, name)]
    : path.split(delimiter).map((folder) => resolve(cwd, folder || '.', name))
  return candidates.find(isProgram)
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
