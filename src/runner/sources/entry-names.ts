import { refusedEntry } from './entry-path.ts'

export type EntryKind = 'file' | 'folder' | 'link'

export interface SeenEntry {
  path: string
  kind: EntryKind
}

/** The names seen so far: none may stand for another on a file system that folds case or Unicode forms. */
export class EntryNames {
  readonly #seen = new Map<string, SeenEntry>()

  get count(): number {
    return this.#seen.size
  }

  /** The path that stands for this one on a file system that folds case or Unicode forms. */
  at(path: string): SeenEntry | undefined {
    return this.#seen.get(fold(path))
  }

  /** Takes in a path with the folders above it. Throws `source_refused` where it collides. */
  add(path: string, kind: EntryKind): void {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++)
      this.#addOne(parts.slice(0, depth).join('/'), 'folder', path)
    this.#addOne(path, kind, path)
  }

  #addOne(path: string, kind: EntryKind, entry: string): void {
    const folded = fold(path)
    const before = this.#seen.get(folded)
    if (before === undefined) return void this.#seen.set(folded, { path, kind })
    if (before.path !== path)
      throw refusedEntry(
        entry,
        `collides with ${JSON.stringify(before.path)}, which differs by case or Unicode form only`,
        'Rename one of them.',
      )
    if (kind === 'folder' && before.kind === 'folder') return
    if (path !== entry && before.kind === 'link')
      throw refusedEntry(
        entry,
        `lies below ${JSON.stringify(path)}, which is a link`,
        'Pack the folder again.',
      )
    throw refusedEntry(entry, 'stands there a second time', 'Pack each file once.')
  }
}

/** Equal for names that some file system takes for one. */
const fold = (path: string) => path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
