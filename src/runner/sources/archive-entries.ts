import { ErrandError } from '../../contract/errors.ts'

const MAX_PATH_BYTES = 1024
const MAX_NAME_BYTES = 255
const MAX_DEPTH = 64

/** Builds the error for an unacceptable entry: which, why and what to do. */
export function refusedEntry(name: string, why: string, hint: string): ErrandError {
  return new ErrandError('source_refused', `Entry ${JSON.stringify(shown(name))} ${why}.`, { hint })
}

const shown = (name: string) => (name.length > 200 ? `${name.slice(0, 200)}…` : name)

/**
 * Returns the clean relative path of an entry, with "/" between its parts and no "." in it; empty for the top folder
 * itself. Throws `source_refused` for a path that leads, or could be read as leading, to anything outside the top
 * folder.
 */
export function entryPath(name: string): string {
  const refuse = (why: string, hint: string) => refusedEntry(name, why, hint)
  if (/\p{Cc}/u.test(name)) throw refuse('has a control character in its name', 'Rename the file.')
  if (name.includes('�')) throw refuse('has a name that is not UTF-8', 'Rename the file.')
  if (name.includes('\\'))
    throw refuse(
      'has a backslash in its name',
      'Separate folders with "/", and rename files that have a backslash in their names.',
    )
  if (/^[A-Za-z]:/.test(name)) throw refuse('begins with a drive letter', relative)
  if (name.startsWith('/')) throw refuse('has an absolute path', relative)
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw refuse('leads out of its folder with ".."', relative)
  if (parts.length > MAX_DEPTH) throw refuse(`is more than ${MAX_DEPTH} folders deep`, 'Use fewer folders.')
  if (parts.some((part) => Buffer.byteLength(part) > MAX_NAME_BYTES))
    throw refuse(`has a name of more than ${MAX_NAME_BYTES} bytes`, 'Shorten it.')
  const path = parts.join('/')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    throw refuse(`has a path of more than ${MAX_PATH_BYTES} bytes`, 'Shorten it.')
  return path
}

const relative = 'Pack the folder with relative paths: tar -czf code.tar.gz -C folder .'

export type EntryKind = 'file' | 'folder' | 'link'

interface EntryRecord {
  path: string
  kind: EntryKind
}

/** Tracks the names so far: none may equal another on a file system that folds case or Unicode forms. */
export class EntryNames {
  readonly #seen = new Map<string, EntryRecord>()

  get count(): number {
    return this.#seen.size
  }

  /** Returns the entry with an equal path on a file system that folds case or Unicode forms. */
  at(path: string): EntryRecord | undefined {
    return this.#seen.get(fold(path))
  }

  /** Adds a path with the folders above it. Throws `source_refused` if it collides. */
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
        `collides with ${JSON.stringify(before.path)}, which differs only in case or Unicode form`,
        'Rename one of them.',
      )
    if (kind === 'folder' && before.kind === 'folder') return
    if (path !== entry && before.kind === 'link')
      throw refusedEntry(entry, `is below ${JSON.stringify(path)}, which is a link`, 'Pack the folder again.')
    throw refusedEntry(entry, 'appears a second time', 'Pack each file once.')
  }
}

/** Folds a path: names that some file system considers the same become equal. */
const fold = (path: string) => path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')

const MAX_TARGET_BYTES = 1024
/** Limits for links in a chain, and for folders that are passed on the way. */
const MAX_HOPS = 16
const MAX_STEPS = 500

/** Symbolic links by their paths, each with its target text. */
type EntryLinks = ReadonlyMap<string, string>

/**
 * Throws `source_refused` for a link that leads, by itself or through others, out of the top folder. `names` holds all
 * entries, including links; a link to a missing place inside is accepted, as that may be created later.
 */
export function checkLinks(links: EntryLinks, names: EntryNames): void {
  for (const [path, target] of links) {
    const why = targetFault(target) ?? wayFault(path, links, names)
    if (why !== undefined) throw refusedEntry(path, `is a link that ${why}`, LINK_HINT)
  }
}

function targetFault(target: string): string | undefined {
  if (target === '') return 'leads nowhere'
  if (Buffer.byteLength(target) > MAX_TARGET_BYTES)
    return `has a target of more than ${MAX_TARGET_BYTES} bytes`
  if (/[\p{Cc}\\�]/u.test(target)) return 'leads to a name with a control character or a backslash in it'
  if (target.startsWith('/') || /^[A-Za-z]:/.test(target))
    return 'leads out of the folder: its path is absolute'
  return undefined
}

/** Follows links like a kernel: ".." after a link is above the link's target. */
function wayFault(path: string, links: EntryLinks, names: EntryNames): string | undefined {
  const at = path.split('/').slice(0, -1)
  const left = links.get(path)!.split('/').reverse()
  let hops = 0
  for (let steps = 0; left.length > 0; steps++) {
    if (steps > MAX_STEPS) return 'takes too many steps'
    const part = left.pop()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (at.pop() === undefined) return 'leads out of the folder'
      continue
    }
    const here = [...at, part].join('/')
    const found = names.at(here)
    if (found !== undefined && found.path !== here)
      return `leads to ${JSON.stringify(found.path)} in a different case or Unicode form`
    const further = found?.kind === 'link' ? links.get(here) : undefined
    if (further === undefined) at.push(part)
    else if (further.startsWith('/')) return 'leads out of the folder through another link'
    else if (++hops > MAX_HOPS) return 'leads in a circle, or through too many other links'
    else left.push(...further.split('/').reverse())
  }
  return undefined
}

const LINK_HINT =
  'Use a relative path to something inside the folder, replace the link with a copy, or list it in .dockerignore.'
