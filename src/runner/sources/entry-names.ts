import { refusedEntry } from './entry-path.ts'

type Kind = 'file' | 'folder'

/** The names seen so far: none may stand for another on a file system that folds case or Unicode forms. */
export class EntryNames {
  readonly #seen = new Map<string, { path: string; kind: Kind }>()

  get count(): number {
    return this.#seen.size
  }

  /** Takes in a path with the folders above it. Throws `source_refused` where it collides. */
  add(path: string, kind: Kind): void {
    const parts = path.split('/')
    for (let depth = 1; depth < parts.length; depth++)
      this.#addOne(parts.slice(0, depth).join('/'), 'folder', path)
    this.#addOne(path, kind, path)
  }

  #addOne(path: string, kind: Kind, entry: string): void {
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
    throw refusedEntry(entry, 'stands there a second time', 'Pack each file once.')
  }
}

/** Equal for names that some file system takes for one. */
const fold = (path: string) => path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
