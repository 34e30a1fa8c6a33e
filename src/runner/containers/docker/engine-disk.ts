import { statfs } from 'node:fs/promises'
import type { DockerClient } from './docker-client.ts'

/** The bytes that the engine's disk keeps for the machine. */
const KEPT_FREE_BYTES = 1024 ** 3
/** Files without content take no bytes that an engine counts. */
const KEPT_FREE_FILES = 100_000

/** Folder of the engine's data; undefined where it does not say. */
export async function engineFolder(docker: DockerClient): Promise<string | undefined> {
  const info = await docker.ask<{ DockerRootDir?: string }>('GET', '/info').catch(() => undefined)
  return info?.DockerRootDir
}

/** Whether the disk of a folder has no room for more, in bytes or in files; false where it is not seen from here. */
export async function isAlmostFull(folder: string): Promise<boolean> {
  const found = await statfs(folder).catch(() => undefined)
  if (found === undefined) return false
  const { bavail, bsize, files, ffree } = found
  // Some file systems make room for files as they come, and tell of none.
  return bavail * bsize < KEPT_FREE_BYTES || (files > 0 && ffree < KEPT_FREE_FILES)
}
