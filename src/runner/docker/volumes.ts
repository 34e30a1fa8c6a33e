import { constants } from 'node:fs'
import { access, opendir, readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContainerAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isConflict, isGone } from '../../docker/docker-errors.ts'
import { type FolderSizeOptions, folderSize } from '../limits/disk-watch.ts'
import type { FoundVolume, OwnLabels } from './docker-engine.ts'
import { removeHolders } from './held-volumes.ts'
import { labelFilter, ownLabels } from './own-labels.ts'

interface ListedVolume {
  Name: string
  Labels: Record<string, string> | null
  Mountpoint: string
}

/** Bytes that an empty file counts, so that nobody fills a disk with those. */
const LEAST_FILE_BYTES = 4096

export async function volumes(docker: DockerClient, labels: Partial<OwnLabels>): Promise<FoundVolume[]> {
  const query = { filters: { label: labelFilter(labels) } }
  const { Volumes } = await docker.ask<{ Volumes: ListedVolume[] | null }>('GET', '/volumes', { query })
  return (Volumes ?? []).map(({ Name, Labels }) => ({ name: Name, labels: ownLabels(Labels)! }))
}

export interface VolumeLook {
  enoughBytes: number
  signal: AbortSignal
  /** Set if the engine's disk is this machine's. */
  isHere: boolean
  /** Container whose nameless files count too. */
  container?: string
  /** Known folders of volumes. */
  folders: Map<string, string>
}

/**
 * Measures volumes: here if the engine's disk is this machine's. Otherwise it asks the engine, which measures
 * everything it has; that takes longer, so it happens less often.
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
      return await reportedBytes(docker, names, signal)
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

/** Measures a folder; undefined if it does not exist, or is not completely readable. */
async function sizeSeen(folder: string, options: FolderSizeOptions): Promise<number | undefined> {
  try {
    await access(folder, constants.R_OK)
    return await folderSize(folder, options)
  } catch {
    return undefined
  }
}

async function reportedBytes(
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

interface Sized {
  SizeRw?: number
  SizeRootFs: number
  Mounts: readonly { Type: string; Name?: string }[]
}

interface MeasuredVolume {
  Name: string
  UsageData?: { Size: number }
}

/**
 * Returns the bytes of all its files: of its image, its changes, and its volumes. Infinity if the engine cannot measure
 * them: a process can create paths that are too long.
 */
export async function containerBytes(docker: DockerClient, id: string, signal: AbortSignal): Promise<number> {
  const { SizeRw = 0, SizeRootFs, Mounts } = await inspectSizes(docker, id, signal)
  if (SizeRw < 0) return Number.POSITIVE_INFINITY
  const volumes = Mounts.filter(({ Type }) => Type === 'volume').map(({ Name }) => Name)
  if (volumes.length === 0) return SizeRootFs
  const sizes = await volumeSizes(docker, signal)
  const bytes = volumes.map((name) => sizes.get(name!) ?? 0)
  return bytes.some((size) => size < 0)
    ? Number.POSITIVE_INFINITY
    : bytes.reduce((sum, size) => sum + size, SizeRootFs)
}

async function inspectSizes(docker: DockerClient, id: string, signal: AbortSignal): Promise<Sized> {
  try {
    // With a size the engine measures it.
    return await docker.ask<Sized>('GET', `/containers/${id}/json`, { query: { size: true }, signal })
  } catch (error) {
    // Engines that never report -1 say this.
    if ((error as { statusCode?: number }).statusCode !== 500) throw error
    return { SizeRootFs: Number.POSITIVE_INFINITY, Mounts: [] }
  }
}

/**
 * Returns the sizes of all volumes, by name; -1 if one cannot be measured. Without the type, the images would be
 * measured too.
 */
async function volumeSizes(docker: DockerClient, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const request = { query: { type: 'volume' }, signal }
  const { Volumes } = await docker.ask<{ Volumes: MeasuredVolume[] | null }>('GET', '/system/df', request)
  return new Map((Volumes ?? []).map(({ Name, UsageData }) => [Name, UsageData?.Size ?? -1]))
}

/** Folders in which the kernel lists a process's open files, and its mapped files. */
const HELD = ['fd', 'map_files']
/** Limit for checked files; more would take so long that much could be written meanwhile. */
const MOST_HELD = 400_000

/**
 * Returns the bytes of files that a container's processes hold on this device and that are in no folder any more: they
 * take the disk until their last holder ends. 0 if its processes are not visible, as from a container; Infinity if they
 * hold too many.
 */
export async function namelessBytes(
  docker: DockerClient,
  id: string,
  { device, signal, mostHeld = MOST_HELD }: { device: number; signal: AbortSignal; mostHeld?: number },
): Promise<number> {
  const { State } = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
  if (!State.Running) return 0
  const seen = new Map<number, number>()
  let held = 0
  for (const process of await processesWith(State.Pid))
    for await (const path of heldBy(process)) {
      signal.throwIfAborted()
      if (++held > mostHeld) return Number.POSITIVE_INFINITY
      // The kernel follows this link, even to a file without a name.
      const file = await stat(path).catch(() => undefined)
      if (file?.isFile() && file.nlink === 0 && file.dev === device) seen.set(file.ino, file.blocks * 512)
    }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** Lists held files a few at a time, since there may be any number. */
async function* heldBy(process: string): AsyncGenerator<string> {
  for (const held of HELD) {
    const folder = join(process, held)
    try {
      for await (const { name } of await opendir(folder, { bufferSize: 256 })) yield join(folder, name)
    } catch {
      // The process has ended, or is not visible.
    }
  }
}

/** Returns the folders of all processes in the container of this one, which share its pid namespace. */
async function processesWith(pid: number): Promise<string[]> {
  const numbering = (process: string) => readlink(join(process, 'ns/pid')).catch(() => undefined)
  const expected = await numbering(`/proc/${pid}`)
  if (expected === undefined || expected === (await numbering('/proc/self'))) return []
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map((name) => join('/proc', name))
  const found = await Promise.all(all.map(async (process) => (await numbering(process)) === expected))
  return all.filter((_, index) => found[index])
}
