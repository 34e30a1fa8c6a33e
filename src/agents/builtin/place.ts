import { readlink, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { ToolError } from './tools/tool.ts'

/** As many as Linux follows. */
const MOST_LINKS = 40

/** Both are real paths. */
export function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

/** What a path of the model really leads to, links resolved, whether it exists or would be created. */
export async function realTarget(cwd: string, path: string): Promise<string> {
  if (path.includes('\0')) throw new ToolError('A path has no NUL in it.')
  return await follow(resolve(cwd, path), 0)
}

async function follow(path: string, links: number): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const parent = dirname(path)
  if (parent === path) return path
  const folder = await follow(parent, links)
  // A link whose target is not there would create it there.
  const target = await readlink(path).catch(() => undefined)
  if (target === undefined) return join(folder, basename(path))
  if (links >= MOST_LINKS) throw new ToolError(`Too many links on the way to ${path}.`)
  return await follow(resolve(folder, target), links + 1)
}
