import type { Stats } from 'node:fs'
import { chmod, lstat, readdir, rm, unlink } from 'node:fs/promises'

/** Thrown if a slot was changed in a way that cannot be repaired; it is given up. */
export class SlotDamaged extends Error {}

/** Path and mode of each file that a folder should contain, from Git's index; paths are bytes (latin1). */
export type Tracked = ReadonlyMap<string, string>

const MOST_ENTRIES = 5_000_000

/**
 * Prepares a folder that a stranger used for Git: makes folders enterable and writable, and removes whatever is neither
 * file, folder nor link. Throws `SlotDamaged` for content of another user or file system, or that is too deep.
 */
export async function unlockTree(root: string): Promise<void> {
  const { dev } = await lstat(root)
  const uid = process.getuid?.()
  let entries = 0
  await walk(root, async (path, stat) => {
    if (++entries > MOST_ENTRIES) throw new SlotDamaged(`it contains more than ${MOST_ENTRIES} files`)
    if (uid !== undefined && stat.uid !== uid) throw new SlotDamaged('a file in it belongs to another user')
    if (stat.dev !== dev) throw new SlotDamaged('another file system is mounted in it')
    if (stat.isDirectory()) {
      if ((stat.mode & 0o7777) !== FOLDER_MODE()) await chmod(path, FOLDER_MODE())
    } else if (!stat.isFile() && !stat.isSymbolicLink()) {
      await unlink(path)
      return true
    }
    return false
  })
}

/**
 * Removes everything but tracked files from the folder, checks that each has its kind, and sets the modes that Git
 * gives. Skips the top-level names in `but`. Returns the bytes that all of it takes. Throws `SlotDamaged` if something
 * is missing.
 */
export async function keepTracked(root: string, tracked: Tracked): Promise<number> {
  const folders = new Set<string>()
  for (const [path] of tracked)
    for (let at = path.lastIndexOf('/'); at !== -1; at = path.lastIndexOf('/', at - 1)) {
      const folder = path.slice(0, at)
      if (folders.has(folder)) break
      folders.add(folder)
    }
  let bytes = 0
  let found = 0
  await walk(root, async (path, stat, name) => {
    const mode = tracked.get(name)
    if (mode === undefined) {
      if (name === '' || (stat.isDirectory() && folders.has(name))) return false
      await rm(path, { recursive: true, force: true })
      return true
    }
    found++
    bytes += stat.blocks * 512
    if (mode === '160000' ? !stat.isDirectory() : mode === '120000' ? !stat.isSymbolicLink() : !stat.isFile())
      throw new SlotDamaged(`${JSON.stringify(name)} is not the same type of file as in the commit`)
    if (mode.startsWith('100')) {
      const expectedMode = fileMode(mode === '100755')
      if ((stat.mode & 0o7777) !== expectedMode) await chmod(path, expectedMode)
    }
    return false
  })
  if (found !== tracked.size) throw new SlotDamaged(`${tracked.size - found} of its files are missing`)
  return bytes
}

const FOLDER_MODE = () => 0o777 & ~process.umask()
const fileMode = (isProgram: boolean) => (isProgram ? 0o777 : 0o666) & ~process.umask()

/** Returns whether the entry is gone. */
type Visit = (path: Buffer, stat: Stats, name: string) => Promise<boolean>

/**
 * Visits the folder itself, by the name "", then everything below it, each folder before its content. Follows no link.
 */
async function walk(root: string, visit: Visit): Promise<void> {
  const waiting = ['']
  const top = Buffer.from(root)
  const pathOf = (name: string) =>
    name === '' ? top : Buffer.concat([top, Buffer.from('/'), Buffer.from(name, 'latin1')])
  await visit(top, await lstat(top), '')
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const names = await readdir(pathOf(folder), { encoding: 'buffer' }).catch(tooDeep)
    for (const each of names) {
      const name = folder === '' ? each.toString('latin1') : `${folder}/${each.toString('latin1')}`
      const path = pathOf(name)
      const stat = await lstat(path).catch(tooDeep)
      if (await visit(path, stat, name)) continue
      if (stat.isDirectory()) waiting.push(name)
    }
  }
}

function tooDeep(error: NodeJS.ErrnoException): never {
  throw error.code === 'ENAMETOOLONG' ? new SlotDamaged('a path in it is too long') : error
}
