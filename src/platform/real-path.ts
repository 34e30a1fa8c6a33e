import { lstatSync, readlinkSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'

/** As the kernel does. */
const MOST_LINKS = 40

/**
 * The file that a path leads to, as the kernel finds it: each link is followed before a `..` behind it counts, and
 * what is not there yet is where it would be made. Throws for a circle of links.
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
    // A folder that may not be looked into hides links from this process as from the agent.
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw error
  }
}

/** Whether a path is the folder or below it; both as `realPath` answers them. */
export const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
