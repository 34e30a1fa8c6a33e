import { open } from 'node:fs/promises'

/** Returns the last lines of a file, at most `most` bytes; empty if there is no such file. */
export async function lastText(path: string, most: number): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined)
  if (file === undefined) return ''
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - most)
    const bytes = Buffer.alloc(size - from)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, from)
    return bytes.toString('utf8', 0, bytesRead).trim()
  } finally {
    await file.close()
  }
}
