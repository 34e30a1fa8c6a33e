import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { BuildOrder } from '../ports.ts'
import { containerBytes } from './container-size.ts'

const EVERY_MS = 500
/** What the engine's disk keeps for the machine. */
const KEPT_FREE_BYTES = 1024 ** 3

/**
 * Until the signal is aborted: holds the containers of builds, all that are on their network, to what the classic builder
 * has no options for. One that becomes too large is killed; `onFull` is called where the disk has no room for more.
 */
export async function holdBuilds(
  docker: Docker,
  network: string,
  limits: BuildOrder['limits'],
  { signal, onFull }: { signal: AbortSignal; onFull(): void },
): Promise<void> {
  const held = new Set<string>()
  const root = await rootOf(docker)
  while (!signal.aborted) {
    for (const id of await running(docker, network)) {
      // A container that has ended meanwhile cannot be held, and need not be.
      await hold(docker, id, held, limits).catch(() => undefined)
    }
    if ((await freeBytes(root)) < KEPT_FREE_BYTES) onFull()
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function hold(
  docker: Docker,
  id: string,
  held: Set<string>,
  { processes, diskBytes }: BuildOrder['limits'],
): Promise<void> {
  const container = docker.getContainer(id)
  if (!held.has(id)) await container.update({ PidsLimit: processes })
  held.add(id)
  if ((await containerBytes(docker, id)) > diskBytes) await container.kill()
}

async function running(docker: Docker, network: string): Promise<string[]> {
  const found = await docker.listContainers({ filters: { network: [network] } }).catch(() => [])
  return found.map(({ Id }) => Id)
}

async function rootOf(docker: Docker): Promise<string | undefined> {
  const info = await docker.info().catch(() => undefined)
  return info?.DockerRootDir
}

/** Infinity where the engine's disk is not seen from here. */
async function freeBytes(root: string | undefined): Promise<number> {
  if (root === undefined) return Number.POSITIVE_INFINITY
  const found = await statfs(root).catch(() => undefined)
  return found === undefined ? Number.POSITIVE_INFINITY : found.bavail * found.bsize
}
