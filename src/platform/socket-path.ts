import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Most bytes of a Unix socket's path; the kernel takes no longer one. */
const MOST_BYTES = 107

/** A Unix socket's path as the kernel takes it. */
export interface SocketPath {
  path: string
  /** When it is used no more. May be called twice. */
  close(): void
}

/** The path of a socket, however long it is: a longer one leads by a descriptor of its folder. Throws where that is not there. */
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
