import { ErrandError } from '../../../contract/errors.ts'
import type { BuildOrder, OwnLabels } from '../ports.ts'
import { holdBuilds } from './build-holds.ts'
import type { BuildPlace } from './build-places.ts'
import type { ImageAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
import { buildError } from './errors.ts'
import { checkImageSize } from './image-size.ts'
import { despiteRemovals } from './lost-layers.ts'
import { engineLabels } from './own-labels.ts'
import { readProgress } from './progress-events.ts'

/** So many of a build's last lines are kept for its error. */
const KEPT_LINES = 40
const CPU_PERIOD_US = 100_000

/**
 * Builds with the engine's classic builder: BuildKit holds no build to a limit of memory, nor to a network. Answers the
 * image's id. Aborted or failed, no container of the build stays; its layers are named as ours, for the sweep.
 */
export async function build(docker: DockerClient, place: BuildPlace, order: BuildOrder): Promise<string> {
  const { limits, signal } = order
  const last: string[] = []
  let layer: string | undefined
  const over = new AbortController()
  const ended = new AbortController()
  const progress = (line: string): void => {
    const made = /^ ---> ([0-9a-f]{12,64})$/.exec(line)?.[1]
    // A step that copies has no container that is held.
    if (made !== undefined) checkImageSize(docker, made, limits).catch((error) => ended.abort(error))
    layer = made ?? layer
    last.push(line)
    if (last.length > KEPT_LINES) last.shift()
    order.progress(line)
  }
  const onFull = () => ended.abort(diskFull())
  const holding = holdBuilds(docker, place.network, limits, { signal: over.signal, onFull })
  try {
    signal.throwIfAborted()
    const until = { ...order, progress, signal: AbortSignal.any([signal, ended.signal]) }
    const imageId = await despiteRemovals(
      () => builtOnce(docker, place, until),
      () => progress('Docker has just removed a layer that this build stood on; it begins anew.'),
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
      labels: engineLabels(order.labels),
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
    if (imageId === undefined) throw new Error('the engine has ended the build without an image')
    return imageId
  } finally {
    context.destroy()
  }
}

const diskFull = () =>
  new ErrandError('disk_full', 'The build was ended: the disk of Docker is almost full.', {
    hint: 'Free space where Docker keeps its data; `docker system df` says what takes it, and `df -i` whether it has no room for more files.',
  })

/**
 * The layers that a build has made before it failed are a cache for the next one, and carry no label: an image on top of the last
 * layer does, and takes the layers along when it is removed.
 */
async function claimLayers(docker: DockerClient, layer: string, labels: OwnLabels): Promise<void> {
  try {
    const { RepoTags, RepoDigests } = await docker.ask<ImageAnswer>('GET', `/images/${layer}/json`)
    // The base image itself: not ours.
    if ((RepoTags ?? []).length > 0 || (RepoDigests ?? []).length > 0) return
    const body = { Image: layer, Cmd: ['none'], Labels: engineLabels({ runner: labels.runner }) }
    const { Id } = await docker.ask<{ Id: string }>('POST', '/containers/create', { body })
    try {
      const changes = Object.entries(engineLabels(labels)).map(
        ([name, value]) => `LABEL ${name}=${JSON.stringify(value)}`,
      )
      await docker.ask('POST', '/commit', { query: { container: Id, changes: changes.join('\n') }, body: {} })
    } finally {
      await docker.ask('DELETE', `/containers/${Id}`, { query: { force: true, v: true } })
    }
  } catch {
    // The failed build is what matters, and is told.
  }
}
