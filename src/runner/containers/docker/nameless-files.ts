import { opendir, readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ContainerAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'

/** Where the kernel shows what a process has open, and what it has in its memory without having it open. */
const HELD = ['fd', 'map_files']
/** Looking at more would take so long that much could be written meanwhile. */
const MOST_HELD = 400_000

/**
 * Bytes of the files that a container's processes hold on this device and that stand in no folder any more: they take the disk
 * until their last holder ends. 0 where its processes cannot be seen, as from a container; Infinity where they hold too many.
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
      // Followed by the kernel, to a file without a name too.
      const file = await stat(path).catch(() => undefined)
      if (file?.isFile() && file.nlink === 0 && file.dev === device) seen.set(file.ino, file.blocks * 512)
    }
  return [...seen.values()].reduce((sum, bytes) => sum + bytes, 0)
}

/** A few at a time: there may be any number. */
async function* heldBy(process: string): AsyncGenerator<string> {
  for (const held of HELD) {
    const folder = join(process, held)
    try {
      for await (const { name } of await opendir(folder, { bufferSize: 256 })) yield join(folder, name)
    } catch {
      // The process has ended, or may not be seen.
    }
  }
}

/** Folders of all processes in the container of this one: no other has its numbering of processes. */
async function processesWith(pid: number): Promise<string[]> {
  const numbering = (process: string) => readlink(join(process, 'ns/pid')).catch(() => undefined)
  const wanted = await numbering(`/proc/${pid}`)
  if (wanted === undefined || wanted === (await numbering('/proc/self'))) return []
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map((name) => join('/proc', name))
  const found = await Promise.all(all.map(async (process) => (await numbering(process)) === wanted))
  return all.filter((_, index) => found[index])
}
