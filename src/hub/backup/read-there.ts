import type { Hash } from 'node:crypto'
import { type FileHandle, open, readdir } from 'node:fs/promises'

const PIECE_BYTES = 256 * 1024

/** Undefined where there is no such file. */
export async function openThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** None where there is no such folder; a file that somebody has put there is none. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

/** The first `bytes` of a file, in pieces that `hash` takes in on the way. Throws where there are fewer. */
export async function* firstBytes(handle: FileHandle, bytes: number, hash: Hash): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, bytes - at))
    const { bytesRead } = await handle.read(piece, 0, piece.length, at)
    if (bytesRead === 0) throw new Error(`a file ended ${bytes - at} bytes early`)
    at += bytesRead
    const read = piece.subarray(0, bytesRead)
    hash.update(read)
    yield read
  }
}
