import { setTimeout as sleep } from 'node:timers/promises'
import type { BuildOrder } from '../ports.ts'
import { containerBytes } from './container-size.ts'
import type { ListedContainer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
import { engineFolder, isAlmostFull } from './engine-disk.ts'

const EVERY_MS = 500

/**
 * Until the signal is aborted: holds the containers of builds, all that are on their network, to what the classic builder
 * has no options for. One that becomes too large is killed; `onFull` is called where the disk has no room for more.
 */
export async function holdBuilds(
  docker: DockerClient,
  network: string,
  limits: BuildOrder['limits'],
  { signal, onFull }: { signal: AbortSignal; onFull(): void },
): Promise<void> {
  const folder = await engineFolder(docker)
  const limited = new Set<string>()
  const limitAll = async (): Promise<void> => {
    for (const id of await running(docker, network)) {
      if (limited.has(id)) continue
      await docker
        .ask('POST', `/containers/${id}/update`, { body: { PidsLimit: limits.processes } })
        .then(() => limited.add(id), hasEnded)
    }
  }
  const measured = new Map<string, Promise<void>>()
  const measureAll = async (): Promise<void> => {
    for (const id of await running(docker, network)) {
      if (measured.has(id)) continue
      const measuring = killIfTooLarge(docker, id, limits.diskBytes, signal).catch(hasEnded)
      measured.set(
        id,
        measuring.finally(() => measured.delete(id)),
      )
    }
  }
  const lookAtDisk = async (): Promise<void> => {
    if (folder !== undefined && (await isAlmostFull(folder))) onFull()
  }
  // Each at its own pace, and each container too: of one with many files an engine takes minutes to tell the size.
  await Promise.all([limitAll, measureAll, lookAtDisk].map((look) => nowAndThen(look, signal)))
  await Promise.all(measured.values())
}

/** A container that has ended meanwhile cannot be held, and need not be. */
const hasEnded = (): void => undefined

async function nowAndThen(look: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await look()
    await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined)
  }
}

async function killIfTooLarge(
  docker: DockerClient,
  id: string,
  diskBytes: number,
  signal: AbortSignal,
): Promise<void> {
  if ((await containerBytes(docker, id, signal)) > diskBytes)
    await docker.ask('POST', `/containers/${id}/kill`)
}

async function running(docker: DockerClient, network: string): Promise<string[]> {
  const query = { filters: { network: [network] } }
  const found = await docker.ask<ListedContainer[]>('GET', '/containers/json', { query }).catch(() => [])
  return found.map(({ Id }) => Id)
}
