import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { refusedEntry } from './entry-path.ts'

/** The text of a folder's .dockerignore; empty where it has none. Throws `source_refused` where that is no file. */
export async function readIgnoreFile(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, '.dockerignore'), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return ''
    if (code !== 'EISDIR') throw error
    throw refusedEntry('.dockerignore', 'is a folder', 'Rename it, or put a file of patterns in its place.')
  }
}
