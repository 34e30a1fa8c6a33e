import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { type FolderSizeOptions, folderSize } from '../../limits/folder-size.ts'
import type { FoundVolume, OwnLabels } from '../ports.ts'
import { volumeSizes } from './container-size.ts'
import type { DockerClient } from './docker-client.ts'
import { isConflict, isGone } from './errors.ts'
import { removeHolders } from './held-volumes.ts'
import { namelessBytes } from './nameless-files.ts'
import { labelFilter, ownLabels } from './own-labels.ts'

interface ListedVolume {
  Name: string
  Labels: Record<string, string> | null
  Mountpoint: string
}

/** The bytes that a file without content counts, so that nobody fills a disk with those. */
const LEAST_FILE_BYTES = 4096

export async function volumes(docker: DockerClient, labels: Partial<OwnLabels>): Promise<FoundVolume[]> {
  const query = { filters: { label: labelFilter(labels) } }
  const { Volumes } = await docker.ask<{ Volumes: ListedVolume[] | null }>('GET', '/volumes', { query })
  return (Volumes ?? []).map(({ Name, Labels }) => ({ name: Name, labels: ownLabels(Labels)! }))
}

export interface VolumeLook {
  enoughBytes: number
  signal: AbortSignal
  /** The engine's disk is this machine's. */
  isHere: boolean
  /** Whose nameless files count too. */
  container?: string
  /** Where those are that were looked at before. */
  folders: Map<string, string>
}

/**
 * Counted here where the engine's disk is this machine's; else the engine is asked, which measures all that it has: that takes
 * longer, and fewer looks are had of it.
 */
export async function volumeBytes(
  docker: DockerClient,
  names: readonly string[],
  { enoughBytes, signal, container, isHere, folders }: VolumeLook,
): Promise<number> {
  let bytes = 0
  for (const name of names) {
    const folder = folders.get(name) ?? (await folderOf(docker, name))
    if (folder === undefined) continue
    folders.set(name, folder)
    const options = { signal, enoughBytes: enoughBytes - bytes, leastBytes: LEAST_FILE_BYTES }
    const seen = isHere ? await sizeSeen(folder, options) : undefined
    if (seen === undefined) {
      folders.delete(name)
      return await toldBytes(docker, names, signal)
    }
    bytes += seen
    if (name === names[0] && container !== undefined) {
      const device = (await stat(folder)).dev
      bytes += await namelessBytes(docker, container, { device, signal }).catch(() => 0)
    }
    if (bytes > enoughBytes) break
  }
  signal.throwIfAborted()
  return bytes
}

export async function removeVolume(docker: DockerClient, name: string): Promise<boolean> {
  try {
    await docker.ask('DELETE', `/volumes/${name}`)
  } catch (error) {
    if (isConflict(error)) return (await removeHolders(docker, name)) && removeVolume(docker, name)
    if (!isGone(error)) throw error
  }
  return true
}

async function folderOf(docker: DockerClient, name: string): Promise<string | undefined> {
  try {
    return (await docker.ask<ListedVolume>('GET', `/volumes/${name}`)).Mountpoint
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** Undefined where it is not there, or may not all be looked at. */
async function sizeSeen(folder: string, options: FolderSizeOptions): Promise<number | undefined> {
  try {
    await access(folder, constants.R_OK)
    return await folderSize(folder, options)
  } catch {
    return undefined
  }
}

async function toldBytes(
  docker: DockerClient,
  names: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const sizes = await volumeSizes(docker, signal)
  const bytes = names.map((name) => sizes.get(name) ?? 0)
  return bytes.some((size) => size < 0)
    ? Number.POSITIVE_INFINITY
    : bytes.reduce((sum, size) => sum + size, 0)
}
