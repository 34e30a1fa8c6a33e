import type { EntryNames } from './entry-names.ts'
import { refusedEntry } from './entry-path.ts'

const MAX_TARGET_BYTES = 1024
/** Links that one may lead through, and folders that are passed on the way. */
const MAX_HOPS = 16
const MAX_STEPS = 500

/** Symbolic links by their paths, each with the text that it holds. */
export type EntryLinks = ReadonlyMap<string, string>

/**
 * Throws `source_refused` for a link that leads, by itself or through others, out of the top folder. `names` holds all
 * that there is, the links too; one that leads to nothing inside is taken, as it may be made later.
 */
export function checkLinks(links: EntryLinks, names: EntryNames): void {
  for (const [path, target] of links) {
    const why = targetFault(target) ?? wayFault(path, links, names)
    if (why !== undefined) throw refusedEntry(path, `is a link that ${why}`, LINK_HINT)
  }
}

function targetFault(target: string): string | undefined {
  if (target === '') return 'leads nowhere'
  if (Buffer.byteLength(target) > MAX_TARGET_BYTES) return `leads further than ${MAX_TARGET_BYTES} bytes`
  if (/[\p{Cc}\\�]/u.test(target)) return 'leads to a name with a control character or a backslash in it'
  if (target.startsWith('/') || /^[A-Za-z]:/.test(target))
    return 'leads out of the folder: its path is absolute'
  return undefined
}

/** Goes the way that a kernel goes: ".." after a link is above what the link leads to. */
function wayFault(path: string, links: EntryLinks, names: EntryNames): string | undefined {
  const at = path.split('/').slice(0, -1)
  const left = links.get(path)!.split('/').reverse()
  let hops = 0
  for (let steps = 0; left.length > 0; steps++) {
    if (steps > MAX_STEPS) return 'leads too far round'
    const part = left.pop()!
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (at.pop() === undefined) return 'leads out of the folder'
      continue
    }
    const here = [...at, part].join('/')
    const found = names.at(here)
    if (found !== undefined && found.path !== here)
      return `leads to ${JSON.stringify(found.path)} in other case or another Unicode form`
    const further = found?.kind === 'link' ? links.get(here) : undefined
    if (further === undefined) at.push(part)
    else if (further.startsWith('/')) return 'leads out of the folder through another one'
    else if (++hops > MAX_HOPS) return 'leads in a circle, or through too many others'
    else left.push(...further.split('/').reverse())
  }
  return undefined
}

const LINK_HINT =
  'Let it lead, by a relative path, to what is inside the folder; or put a copy in its place, or name it in .dockerignore.'
