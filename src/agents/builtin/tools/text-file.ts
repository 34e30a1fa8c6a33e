import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { ToolError } from './tool.ts'

/** Past this a file is no text that somebody edits. */
export const WHOLE_FILE_BYTES = 10 * 1024 * 1024
const PROBE_BYTES = 8192

/** Opens a regular file for reading. `path` is real: a link put in its place meanwhile is refused. */
export async function openRegular(path: string): Promise<{ file: FileHandle; stat: Stats }> {
  // Without O_NONBLOCK opening a FIFO waits for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stat = await file.stat()
    if (stat.isDirectory()) throw new ToolError(`${path} is a folder. Use list_files.`)
    if (!stat.isFile()) throw new ToolError(`${path} is no regular file.`)
    return { file, stat }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** A NUL near the beginning, as git tells it. */
export async function isBinary(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0)
  return buffer.subarray(0, bytesRead).includes(0)
}

/** A whole text file as it is, or why it cannot be had as text. */
export type Read =
  | { type: 'text'; text: string; mode: number }
  | { type: 'binary' | 'too_large'; bytes: number; mode: number }

/** Throws what node:fs throws. */
export async function readText(path: string): Promise<Read> {
  const { file, stat } = await openRegular(path)
  const { size: bytes, mode } = stat
  try {
    if (bytes > WHOLE_FILE_BYTES) return { type: 'too_large', bytes, mode }
    if (await isBinary(file)) return { type: 'binary', bytes, mode }
    const content = await file.readFile()
    // A mark at the beginning is a character of the text, and is written back.
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    return { type: 'text', text: decoder.decode(content), mode }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      return { type: 'binary', bytes, mode }
    throw error
  } finally {
    await file.close()
  }
}

/** Undefined: there is no such file. */
export async function readTextIfThere(path: string): Promise<Read | undefined> {
  try {
    return await readText(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
