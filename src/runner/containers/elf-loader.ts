import { closeSync, openSync, readSync } from 'node:fs'

const PT_INTERP = 3
const HEADER_BYTES = 64
/** Limit in bytes; a longer text is not a path. */
const MOST_BYTES = 4096

/**
 * Returns the loader that a program requests, such as `/lib64/ld-linux-x86-64.so.2`. Undefined if it needs none, is not
 * a 64-bit program with this machine's byte order, or cannot be read.
 */
export function elfLoader(file: string): string | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch {
    return undefined
  }
  try {
    const at = (position: number, bytes: number) => {
      const buffer = Buffer.alloc(bytes)
      return buffer.subarray(0, readSync(descriptor, buffer, 0, bytes, position))
    }
    const header = at(0, HEADER_BYTES)
    if (header.length < HEADER_BYTES || header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01')
      return undefined
    const entryBytes = header.readUInt16LE(54)
    const table = at(Number(header.readBigUInt64LE(32)), entryBytes * header.readUInt16LE(56))
    for (let entry = 0; entry + 40 <= table.length && entryBytes >= 40; entry += entryBytes) {
      if (table.readUInt32LE(entry) !== PT_INTERP) continue
      const bytes = Number(table.readBigUInt64LE(entry + 32))
      if (bytes > MOST_BYTES) return undefined
      return at(Number(table.readBigUInt64LE(entry + 8)), bytes)
        .toString('latin1')
        .replace(/\0.*$/s, '')
    }
    return undefined
  } catch {
    return undefined
  } finally {
    closeSync(descriptor)
  }
}
