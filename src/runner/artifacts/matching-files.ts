import { constants } from 'node:fs'
import { type FileHandle, open, opendir } from 'node:fs/promises'
import { realPath } from '../../platform/files.ts'
import { globPattern, type PathGlob } from '../../platform/untrusted-input.ts'

export interface MatchLimits {
  /** Limit for names that are checked. */
  names: number
  /** Limit for the depth of folders. */
  depth: number
}
export const DEFAULT_MATCH_LIMITS: MatchLimits = { names: 200_000, depth: 64 }

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
// The other end of a pipe is not waited for.
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Regular file that matches a glob, or the reason why a matching one is left out. */
export type Match =
  | { path: string; bytes: number; file: FileHandle; why?: undefined }
  | { path: string; why: string; file?: undefined }

/**
 * Yields the files below a folder that match globs, in the order of their names; each is closed when the next is
 * requested. Whoever wrote in the folder may continue to: every folder is opened relative to the one before, no link is
 * followed, and only the bytes of a file are read. Skips folders that no glob can lead into, and `.git` unless a glob
 * names it.
 */
export async function* matchingFiles(
  folder: string,
  globs: readonly string[],
  { names: mostNames, depth: mostDepth } = DEFAULT_MATCH_LIMITS,
): AsyncGenerator<Match> {
  const patterns = globs.map(patternOf)
  let names = 0

  async function* within(at: FileHandle, below: string, depth: number): AsyncGenerator<Match> {
    const place = `/proc/self/fd/${at.fd}`
    for (const name of await namesIn(place, mostNames + 1)) {
      if (++names > mostNames) {
        yield { path: below || '.', why: `there are more than ${mostNames} names` }
        return
      }
      const path = below === '' ? name : `${below}/${name}`
      const fits = patterns.some(({ glob }) => glob.test(path))
      const leadsOn = patterns.some((one) => one.leadsInto(path))
      if (!fits && !leadsOn) continue
      const opened = await openAt(place, name)
      if ('why' in opened) {
        if (fits && opened.why !== undefined) yield { path, why: opened.why }
        continue
      }
      const { handle, isFolder, bytes } = opened
      try {
        if (!isFolder) {
          if (fits) yield { path, bytes, file: handle }
        } else if (leadsOn)
          if (depth >= mostDepth) yield { path, why: 'it is nested too deeply' }
          else yield* within(handle, path, depth + 1)
      } finally {
        await handle.close()
      }
      if (names > mostNames) return
    }
  }

  let root: FileHandle
  try {
    // The folder itself belongs to its owner, and may be reached by links.
    root = await open(realPath(folder, '/'), FOLDER)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    yield* within(root, '', 1)
  } finally {
    await root.close()
  }
}

/** Returns the first names of a folder in order, at most `most`: one with millions takes no more memory. */
async function namesIn(folder: string, most: number): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of await opendir(folder, { bufferSize: 256 })) {
    names.push(name)
    if (names.length >= most) break
  }
  return names.sort()
}

/** Opens an entry; if it is gone by now, `why` is undefined. */
async function openAt(
  place: string,
  name: string,
): Promise<{ handle: FileHandle; isFolder: boolean; bytes: number } | { why: string | undefined }> {
  let handle: FileHandle
  try {
    handle = await open(`${place}/${name}`, FILE)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return { why: undefined }
    if (code === 'ELOOP') return { why: 'it is a link' }
    if (code === 'ENXIO') return { why: 'it is not a regular file' }
    return { why: code === 'EACCES' ? 'it is not readable' : `it cannot be read (${code})` }
  }
  const stat = await handle.stat()
  if (stat.isDirectory() || stat.isFile()) return { handle, isFolder: stat.isDirectory(), bytes: stat.size }
  await handle.close()
  return { why: 'it is not a regular file' }
}

interface FilePattern {
  glob: PathGlob
  /** Reports whether this folder may contain something that matches. */
  leadsInto(path: string): boolean
}

/** Compiles a glob. Throws if it is invalid. */
function patternOf(text: string): FilePattern {
  const plain = text.replace(/^(\.?\/)+/, '')
  const glob = globPattern(plain)
  // Up to the name that has the first special character.
  const special = plain.search(/[*?[{\\]/)
  const upTo = special < 0 ? plain : plain.slice(0, special)
  const start = upTo.slice(0, upTo.lastIndexOf('/') + 1)
  const namesGit = plain.split('/').includes('.git')
  return {
    glob,
    leadsInto: (path) => {
      if (!namesGit && path.split('/').includes('.git')) return false
      return `${path}/`.startsWith(start) || start.startsWith(`${path}/`)
    },
  }
}

/** Throws if a glob is invalid, or leads out of the folder. */
export function checkGlobs(globs: readonly string[]): void {
  for (const glob of globs) {
    if (glob.split('/').includes('..')) throw new Error(`the glob ${glob} leads out of the workspace`)
    try {
      globPattern(glob)
    } catch {
      throw new Error(`the glob ${glob} is not valid`)
    }
  }
}
