import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Most bytes in the path of a Unix socket: the kernel's limit. */
const MOST_BYTES = 107

/** A Unix socket's path in a length that the kernel accepts. */
export interface SocketPath {
  path: string
  /** Call it when the path is no longer used. May be called twice. */
  close(): void
}

/**
 * Returns a usable path of a socket, however long `file` is: a long path goes through a descriptor of its folder.
 * Throws when that folder does not exist.
 */
export function socketPath(file: string): SocketPath {
  if (Buffer.byteLength(file) <= MOST_BYTES) return { path: file, close: () => undefined }
  let folder: number | undefined = openSync(dirname(file), constants.O_RDONLY | constants.O_DIRECTORY)
  return {
    path: `/proc/self/fd/${folder}/${basename(file)}`,
    close: () => {
      if (folder !== undefined) closeSync(folder)
      folder = undefined
    },
  }
}
