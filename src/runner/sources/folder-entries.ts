import type { Stats } from 'node:fs'
import { lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { globPattern, type PathGlob } from '../../platform/untrusted-input.ts'
import { type EntryKind, refusedEntry } from './archive-entries.ts'

export interface FolderEntry {
  /** Relative path, with "/" between its parts. */
  path: string
  kind: EntryKind
  /** File on this machine. */
  file: string
  size: number
  executable: boolean
  /** Target of a link, wherever that leads: it is never followed. */
  target?: string
}

/** Returns everything to pack, sorted by path. With many files and rules it takes long: the signal ends it. */
export async function folderEntries(
  folder: string,
  skipped: SkippedPaths,
  signal?: AbortSignal,
): Promise<FolderEntry[]> {
  const top = await realpath(folder)
  const entries: FolderEntry[] = []
  const left = ['']
  for (let parent = left.pop(); parent !== undefined; parent = left.pop()) {
    for (const name of await readdir(join(top, parent))) {
      signal?.throwIfAborted()
      const path = parent === '' ? name : `${parent}/${name}`
      const found = await lstat(join(top, path))
      if (found.isDirectory() && skipped.enters(path)) left.push(path)
      if (!skipped.has(path)) entries.push(await entryAt(top, path, found))
    }
  }
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function entryAt(top: string, path: string, found: Stats): Promise<FolderEntry> {
  const file = join(top, path)
  const entry = { path, file, size: found.size, executable: (found.mode & 0o111) !== 0 }
  if (found.isSymbolicLink()) return { ...entry, kind: 'link', size: 0, target: await targetOf(file, top) }
  if (!found.isDirectory() && !found.isFile())
    throw refusedEntry(path, 'is neither a file nor a folder', 'Remove it, or list it in .dockerignore.')
  return { ...entry, kind: found.isDirectory() ? 'folder' : 'file' }
}

/**
 * Returns the unchanged target; an absolute path into the folder itself would be meaningless elsewhere, and becomes
 * relative.
 */
async function targetOf(link: string, top: string): Promise<string> {
  const target = await readlink(link)
  if (!isAbsolute(target)) return target
  const to = await realpath(link).catch(() => '')
  return to.startsWith(top + sep) ? relative(dirname(link), to) : target
}

/** Folders that are not part of anybody's code; a line such as `!node_modules` in .dockerignore includes one again. */
const ALWAYS = ['**/.git', '**/node_modules', '**/__pycache__', '**/.venv']
/** Limit in bytes, since each rule is compared with each path. */
const MAX_BYTES = 16 * 1024

interface Rule {
  pattern: PathGlob
  skip: boolean
}

/**
 * Decides which paths of a folder are not packed, with the rules of .dockerignore: the last line that matches a path
 * counts.
 */
export class SkippedPaths {
  readonly #rules: readonly Rule[]
  readonly #exceptions: boolean
  readonly #keep: readonly string[]

  /**
   * Parses the file; paths in `keep` are packed whatever the file says. Throws `invalid_argument` for a file that is
   * too long.
   */
  constructor(dockerignore: string, keep: readonly string[] = []) {
    const bytes = Buffer.byteLength(dockerignore)
    if (bytes > MAX_BYTES)
      throw new ErrandError(
        'invalid_argument',
        `.dockerignore has ${bytes} bytes; the limit is ${MAX_BYTES}.`,
        {
          hint: 'List folders or patterns in it instead of single files.',
        },
      )
    const lines = [...ALWAYS, ...dockerignore.split(/\r?\n/)]
    this.#rules = lines.flatMap(ruleOf)
    this.#exceptions = this.#rules.some((rule) => !rule.skip)
    this.#keep = keep
  }

  /** Reports whether something in a folder is packed, or may be. */
  enters(folder: string): boolean {
    return !this.has(folder) || this.#exceptions || this.#keep.some((path) => path.startsWith(`${folder}/`))
  }

  has(path: string): boolean {
    if (this.#keep.includes(path)) return false
    const parts = path.split('/')
    // A rule for a folder applies to everything in it.
    const paths = parts.map((_, depth) => parts.slice(0, depth + 1).join('/'))
    return this.#rules.findLast(({ pattern }) => paths.some((each) => pattern.test(each)))?.skip ?? false
  }
}

function ruleOf(text: string): Rule[] {
  const line = text.replace(/^\uFEFF/, '').trim()
  if (line.startsWith('#')) return []
  const skip = !line.startsWith('!')
  const parts = (skip ? line : line.slice(1)).split('/').filter((part) => !['', '.'].includes(part.trim()))
  // Braces are not special in this file.
  const glob = parts.join('/').replace(/[{},]/g, '\\$&')
  return glob === '' ? [] : [{ pattern: globPattern(glob), skip }]
}

/**
 * Returns the text of a folder's .dockerignore; empty if there is none. Throws `source_refused` if it is not a file.
 */
export async function readIgnoreFile(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, '.dockerignore'), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return ''
    if (code !== 'EISDIR') throw error
    throw refusedEntry('.dockerignore', 'is a folder', 'Rename it, or replace it with a file of patterns.')
  }
}
