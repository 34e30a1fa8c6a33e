import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../contract/errors.ts'
import { type ImageAnswer, type ListedContainer, readProgress } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { buildError, despiteRemovals } from '../../docker/docker-errors.ts'
import type { BuildPlace } from './build-places.ts'
import type { BuildOrder, OwnLabels } from './docker-engine.ts'
import { checkImageSize } from './images.ts'
import { dockerLabels } from './own-labels.ts'
import { containerBytes } from './volumes.ts'

/** Number of a build's last lines that are stored for its error. */
const MAX_LINES = 40
const CPU_PERIOD_US = 100_000

/**
 * Builds with the engine's classic builder, because BuildKit limits neither the memory of a build nor its network.
 * Returns the image's id. If it is aborted or fails, no container of the build stays; its layers get our label, for the
 * sweep.
 */
export async function build(docker: DockerClient, place: BuildPlace, order: BuildOrder): Promise<string> {
  const { limits, signal } = order
  const last: string[] = []
  let layer: string | undefined
  const over = new AbortController()
  const ended = new AbortController()
  const progress = (line: string): void => {
    const made = /^ ---> ([0-9a-f]{12,64})$/.exec(line)?.[1]
    // A copying step has no limited container.
    if (made !== undefined) checkImageSize(docker, made, limits).catch((error) => ended.abort(error))
    layer = made ?? layer
    last.push(line)
    if (last.length > MAX_LINES) last.shift()
    order.progress(line)
  }
  const onFull = () => ended.abort(diskFull())
  const holding = holdBuilds(docker, place.network, limits, { signal: over.signal, onFull })
  try {
    signal.throwIfAborted()
    const until = { ...order, progress, signal: AbortSignal.any([signal, ended.signal]) }
    const imageId = await despiteRemovals(
      () => builtOnce(docker, place, until),
      () => progress('Docker has just removed a layer that this build needs. The build starts over.'),
    )
    try {
      await checkImageSize(docker, imageId, limits)
    } catch (error) {
      await docker.ask('DELETE', `/images/${order.name}`)
      throw error
    }
    return imageId
  } catch (error) {
    if (layer !== undefined) await claimLayers(docker, layer, order.labels)
    signal.throwIfAborted()
    ended.signal.throwIfAborted()
    throw buildError(docker.address, last, error)
  } finally {
    over.abort()
    await holding
  }
}

async function builtOnce(docker: DockerClient, place: BuildPlace, order: BuildOrder): Promise<string> {
  const { limits, signal } = order
  const context = await order.context()
  try {
    const query = {
      t: order.name,
      dockerfile: order.dockerfile,
      buildargs: { ...order.args },
      labels: dockerLabels(order.labels),
      networkmode: place.network,
      ...(place.cgroup === undefined ? {} : { cgroupparent: place.cgroup }),
      memory: limits.memoryBytes,
      memswap: limits.memoryBytes,
      cpuperiod: CPU_PERIOD_US,
      cpuquota: Math.round(limits.cpus * CPU_PERIOD_US),
      cpushares: limits.cpuShares,
      nocache: order.refresh ?? false,
      rm: true,
      forcerm: true,
    }
    const answer = await docker.open('POST', '/build', { query, tar: context, signal })
    const imageId = await readProgress(answer, order.progress)
    if (imageId === undefined) throw new Error('the engine ended the build without an image')
    return imageId
  } finally {
    context.destroy()
  }
}

const diskFull = () =>
  new ErrandError('disk_full', 'The build was stopped: the disk of Docker is almost full.', {
    hint: 'Free disk space where Docker stores its data. `docker system df` shows what uses it, and `df -i` whether the disk is out of inodes.',
  })

/**
 * Labels the layers of a failed build. They are a cache for the next build and have no label; an image on top of the
 * last layer has one, and its removal removes the layers.
 */
async function claimLayers(docker: DockerClient, layer: string, labels: OwnLabels): Promise<void> {
  try {
    const { RepoTags, RepoDigests } = await docker.ask<ImageAnswer>('GET', `/images/${layer}/json`)
    // The base image itself: not ours.
    if ((RepoTags ?? []).length > 0 || (RepoDigests ?? []).length > 0) return
    const body = { Image: layer, Cmd: ['none'], Labels: dockerLabels({ runner: labels.runner }) }
    const { Id } = await docker.ask<{ Id: string }>('POST', '/containers/create', { body })
    try {
      const changes = Object.entries(dockerLabels(labels)).map(
        ([name, value]) => `LABEL ${name}=${JSON.stringify(value)}`,
      )
      await docker.ask('POST', '/commit', { query: { container: Id, changes: changes.join('\n') }, body: {} })
    } finally {
      await docker.ask('DELETE', `/containers/${Id}`, { query: { force: true, v: true } })
    }
  } catch {
    // The failed build is what matters, and is reported.
  }
}

const EVERY_MS = 500

/**
 * Limits the containers of a build, found by their network, until the signal aborts, because the classic builder has no
 * options for that. Kills a container that becomes too large; calls `onFull` if the disk has too little room.
 */
async function holdBuilds(
  docker: DockerClient,
  network: string,
  limits: BuildOrder['limits'],
  { signal, onFull }: { signal: AbortSignal; onFull(): void },
): Promise<void> {
  const folder = await dockerFolder(docker)
  const limited = new Set<string>()
  const limitAll = async (): Promise<void> => {
    for (const id of await runningOn(docker, network)) {
      if (limited.has(id)) continue
      await docker
        .ask('POST', `/containers/${id}/update`, { body: { PidsLimit: limits.processes } })
        .then(() => limited.add(id), mayHaveEnded)
    }
  }
  const measured = new Map<string, Promise<void>>()
  const measureAll = async (): Promise<void> => {
    for (const id of await runningOn(docker, network)) {
      if (measured.has(id)) continue
      const measuring = killIfTooLarge(docker, id, limits.diskBytes, signal).catch(mayHaveEnded)
      measured.set(
        id,
        measuring.finally(() => measured.delete(id)),
      )
    }
  }
  const lookAtDisk = async (): Promise<void> => {
    if (folder !== undefined && (await isAlmostFull(folder))) onFull()
  }
  // Each at its own pace, and each container too: an engine takes minutes to measure one with many files.
  await Promise.all([limitAll, measureAll, lookAtDisk].map((look) => nowAndThen(look, signal)))
  await Promise.all(measured.values())
}

/** Ignores an error: an ended container cannot be limited, and need not be. */
const mayHaveEnded = (): void => undefined

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

async function runningOn(docker: DockerClient, network: string): Promise<string[]> {
  const query = { filters: { network: [network] } }
  const found = await docker.ask<ListedContainer[]>('GET', '/containers/json', { query }).catch(() => [])
  return found.map(({ Id }) => Id)
}

/** Bytes of the engine's disk that are reserved for the machine. */
const MIN_FREE_BYTES = 1024 ** 3
/** Reserved number of files; empty files take no bytes that an engine counts. */
const MIN_FREE_FILES = 100_000

/** Returns the folder of the engine's data; undefined if it does not say. */
async function dockerFolder(docker: DockerClient): Promise<string | undefined> {
  const info = await docker.ask<{ DockerRootDir?: string }>('GET', '/info').catch(() => undefined)
  return info?.DockerRootDir
}

/** Reports whether the disk of a folder is almost full, in bytes or in files; false if it is not visible from here. */
export async function isAlmostFull(folder: string): Promise<boolean> {
  const found = await statfs(folder).catch(() => undefined)
  if (found === undefined) return false
  const { bavail, bsize, files, ffree } = found
  // Some file systems create inodes as needed, and report none.
  return bavail * bsize < MIN_FREE_BYTES || (files > 0 && ffree < MIN_FREE_FILES)
}
