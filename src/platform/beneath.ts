import { constants } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { realPath } from './files.ts'

/**
 * Opens files in a folder whose contents somebody else may change at any moment. Links inside it are never followed,
 * not even one that appears meanwhile. Each folder on the path is opened relative to the one before, which requires
 * Linux with /proc.
 */

/** Says in words why a path is refused. */
export class LeadsOut extends Error {}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/**
 * Calls `use` with a path to the folder at `path`, relative to `folder`. Until `use` has ended, that path names the
 * same folder whatever becomes of the names that led to it. Creates missing folders unless `makes` is false. Throws
 * `LeadsOut`, and what node:fs throws.
 */
export async function withFolderBeneath<T>(
  folder: string,
  path: string,
  use: (path: string) => Promise<T>,
  makes = true,
): Promise<T> {
  const names = namesBeneath(folder, path)
  // The folder itself belongs to its owner and may be reached through links.
  let at = await open(realPath(folder, '/'), FOLDER)
  try {
    for (const name of names) {
      const next = await openFolder(`${placeOf(at)}/${name}`, makes)
      await at.close()
      at = next
    }
    return await use(placeOf(at))
  } finally {
    await at.close()
  }
}

/**
 * Opens a file at `path`, relative to `folder`, with these flags of `open`. With `O_CREAT` it creates missing folders
 * and the file. Throws as `withFolderBeneath`.
 */
export async function openBeneath(
  folder: string,
  path: string,
  flags: number,
  mode?: number,
): Promise<FileHandle> {
  const names = namesBeneath(folder, path)
  const name = names.pop()
  if (name === undefined) throw new LeadsOut('it is a folder')
  const use = async (place: string) => {
    // Does not block on a file that waits for a reader or a writer, such as a pipe.
    const careful = flags | constants.O_NOFOLLOW | constants.O_NONBLOCK
    const file = await open(`${place}/${name}`, careful, mode).catch(noLink)
    if ((await file.stat()).isFile()) return file
    await file.close()
    throw new LeadsOut('it is not a file')
  }
  return await withFolderBeneath(folder, names.join(sep), use, (flags & constants.O_CREAT) !== 0)
}

/** Writes a whole file there and replaces an existing one. Throws as `withFolderBeneath`. */
export async function writeBeneath(
  folder: string,
  path: string,
  content: string | Uint8Array,
  { mode, signal }: { mode: number; signal?: AbortSignal },
): Promise<void> {
  const file = await openBeneath(folder, path, constants.O_WRONLY | constants.O_CREAT, mode)
  try {
    await file.truncate()
    await file.writeFile(content, { signal })
    await file.chmod(mode)
  } finally {
    await file.close()
  }
}

/** Splits a path below the folder into its names. Throws `LeadsOut`. */
function namesBeneath(folder: string, path: string): string[] {
  const below = relative(folder, resolve(folder, path))
  const names = below.split(sep).filter((name) => name !== '')
  if (names[0] === '..') throw new LeadsOut(`it is not below ${folder}`)
  return names
}

const placeOf = ({ fd }: FileHandle): string => `/proc/self/fd/${fd}`

async function openFolder(path: string, makes: boolean): Promise<FileHandle> {
  try {
    return await open(path, FOLDER)
  } catch (error) {
    if (!makes || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw noFolder(error)
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again
    })
    return await open(path, FOLDER).catch((again) => {
      throw noFolder(again)
    })
  }
}

function noFolder(error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOTDIR' || code === 'ELOOP' ? new LeadsOut('a link or a file is on the way') : error
}

function noLink(error: unknown): never {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ELOOP') throw new LeadsOut('it is a link')
  if (code === 'ENXIO') throw new LeadsOut('it is not a file')
  throw error
}
