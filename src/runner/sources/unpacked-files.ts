import { createWriteStream } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ErrandError } from '../../contract/errors.ts'
import { checkLinks, EntryNames, entryPath, refusedEntry } from './archive-entries.ts'

export interface UnpackLimits {
  /** Limit in bytes for all files together, unpacked. */
  maxBytes: number
  maxEntries: number
}

/**
 * Writes the entries of an archive to a new folder, whatever its format. Links are created last, when no more files are
 * written, so no entry ever passes through one. Every call throws `source_refused` with the entry's name.
 */
export class UnpackedFiles {
  readonly #folder: string
  readonly #maxEntries: number
  readonly #what: string
  readonly #names = new EntryNames()
  readonly #links = new Map<string, string>()
  #entries = 0
  #files = 0

  /** Takes the folder; `what` names the source in errors. */
  constructor(folder: string, { maxEntries }: UnpackLimits, what: string) {
    this.#folder = folder
    this.#maxEntries = maxEntries
    this.#what = what
  }

  /** Makes a folder; repeated calls are allowed. */
  async folder(name: string): Promise<void> {
    const path = entryPath(name)
    if (path !== '') {
      this.#names.add(path, 'folder')
      await mkdir(join(this.#folder, path), { recursive: true, mode: 0o755 })
    }
    this.#count()
  }

  /** Writes a file; only the executable bit of the Unix `mode` is used. */
  async file(
    name: string,
    mode: number,
    content: AsyncIterable<unknown>,
    signal?: AbortSignal,
  ): Promise<void> {
    const path = this.#path(name, 'file')
    if ((mode & 0o6000) !== 0)
      throw refusedEntry(name, 'has a setuid or setgid bit', 'Remove it: chmod ug-s.')
    this.#names.add(path, 'file')
    this.#count()
    this.#files++
    const file = join(this.#folder, path)
    await mkdir(dirname(file), { recursive: true, mode: 0o755 })
    // Nothing that exists there is followed or replaced.
    const to = createWriteStream(file, { flags: 'wx', mode: (mode & 0o111) === 0 ? 0o644 : 0o755 })
    await pipeline(content, to, { signal })
  }

  link(name: string, target: string): void {
    const path = this.#path(name, 'link')
    this.#names.add(path, 'link')
    this.#count()
    this.#links.set(path, target)
  }

  /** Creates the links after the last entry. */
  async end(): Promise<void> {
    checkLinks(this.#links, this.#names)
    if (this.#files === 0)
      throw new ErrandError('source_refused', `The ${this.#what} contains no files.`, {
        hint: 'Pack the folder with the code.',
      })
    for (const path of this.#links.keys())
      await mkdir(dirname(join(this.#folder, path)), { recursive: true, mode: 0o755 })
    for (const [path, target] of this.#links) await symlink(target, join(this.#folder, path))
  }

  #path(name: string, kind: 'file' | 'link'): string {
    const path = entryPath(name)
    if (path === '') throw refusedEntry(name, `is a ${kind} without a name`, 'Pack the folder again.')
    return path
  }

  #count(): void {
    if (Math.max(this.#names.count, ++this.#entries) <= this.#maxEntries) return
    throw tooManyEntries(this.#what, this.#maxEntries)
  }
}

export const tooManyEntries = (what: string, maxEntries: number): ErrandError =>
  new ErrandError('source_refused', `The ${what} contains more than ${maxEntries} files and folders.`, {
    hint: 'Leave out what the build does not need, such as installed dependencies.',
  })

/** Builds the error; `what` names what is limited. */
export const tooManyBytes = (what: string, maxBytes: number): ErrandError =>
  new ErrandError('source_refused', `The ${what} has more than ${maxBytes} bytes when unpacked.`, {
    hint: 'Leave out what the build does not need: data, dependencies, the .git folder.',
  })
