import { setTimeout as sleep } from 'node:timers/promises'
import type Docker from 'dockerode'
import type { BuildOrder } from '../ports.ts'
import { containerBytes } from './container-size.ts'
import { engineFolder, isAlmostFull } from './engine-disk.ts'

const EVERY_MS = 500

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
  const folder = await engineFolder(docker)
  const holdAll = async (): Promise<void> => {
    for (const id of await running(docker, network)) {
      // A container that has ended meanwhile cannot be held, and need not be.
      await hold(docker, id, held, limits).catch(() => undefined)
    }
  }
  const lookAtDisk = async (): Promise<void> => {
    if (folder !== undefined && (await isAlmostFull(folder))) onFull()
  }
  // Each at its own pace: an engine takes many seconds to measure a container of many files.
  await Promise.all([holdAll, lookAtDisk].map((look) => nowAndThen(look, signal)))
}

async function nowAndThen(look: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await look()
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
