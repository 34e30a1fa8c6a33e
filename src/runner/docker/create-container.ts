import { posix } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isOwnFolder } from '../../contract/bots/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { ContainerAnswer, HostConfig, ImageAnswer, ImageConfig } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import type { ContainerOrder } from './docker-engine.ts'
import { makeWritable } from './held-volumes.ts'
import { healthcheck, hostConfig } from './host-config.ts'
import { imageVolumes } from './images.ts'
import { dockerLabels } from './own-labels.ts'

/**
 * Creates a container as ordered. If the engine has made it differently, it is removed again, with an error that names
 * the difference. `isHere`: its disk is this machine's.
 */
export async function createContainer(
  docker: DockerClient,
  { network, hasSeccomp, isHere }: { network: string; hasSeccomp: boolean; isHere: boolean },
  order: ContainerOrder,
): Promise<{ id: string; volumes: string[] }> {
  const image = await docker.ask<ImageAnswer>('GET', `/images/${order.image}/json`)
  const places = workPlaces(image.Config, order.data?.path)
  const config = hostConfig(order, { network, hasSeccomp, places })
  const { Id: id } = await docker.ask<{ Id: string }>('POST', '/containers/create', {
    query: { name: order.name },
    body: {
      Image: order.image,
      ...(order.command === undefined ? {} : { Cmd: [...order.command] }),
      Env: Object.entries(order.env).map(([name, value]) => `${name}=${value}`),
      Labels: dockerLabels(order.labels),
      Tty: false,
      OpenStdin: false,
      Healthcheck: healthcheck(order.health, image.Config?.Healthcheck),
      StopTimeout: Math.ceil(order.stopGraceSeconds),
      HostConfig: config,
    },
  })
  try {
    const info = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
    const difference = differenceFrom(config, info)
    if (difference !== undefined)
      throw new ErrandError(
        'unavailable',
        `Docker does not apply the limits of the container: ${difference}.`,
        {
          hint: '`docker info` shows what the kernel lacks. For swap, boot it with swapaccount=1 or use cgroup v2.',
        },
      )
    const mounted = info.Mounts.flatMap(({ Name, Destination, Source }) =>
      Name === undefined ? [] : [{ volume: Name, path: Destination, folder: isHere ? Source : undefined }],
    )
    const { labels, data } = order
    await makeWritable(docker, id, { user: image.Config?.User, mounted, labels })
    const own = mounted.filter(({ path }) => path !== data?.path)
    return { id, volumes: own.map(({ volume }) => volume) }
  } catch (error) {
    await docker.ask('DELETE', `/containers/${id}`, { query: { force: true, v: true } })
    throw error
  }
}

/** Limit in characters for a displayed value; a profile of system calls has thousands. */
const SHOWN_CHARACTERS = 200

/**
 * Returns the first setting that the engine did not apply as requested, with both values. Engines leave out what the
 * kernel cannot do, with no more than a warning.
 */
function differenceFrom(requested: HostConfig, info: ContainerAnswer): string | undefined {
  const held = info.HostConfig
  for (const [name, value] of Object.entries(requested)) {
    if (isDeepStrictEqual(comparable(name, held[name]), comparable(name, value))) continue
    return `${name} is ${shown(held[name])}, not ${shown(value)}`
  }
  const targets = new Set(requested.Mounts.map(({ Target }) => Target))
  const disk = info.Mounts.find(
    ({ Type, Destination }) => Type !== 'tmpfs' && !(Type === 'volume' && targets.has(Destination)),
  )
  if (disk !== undefined) return `${disk.Destination} is a ${disk.Type} of this machine`
  const networks = Object.keys(info.NetworkSettings.Networks)
  if (!isDeepStrictEqual(networks, [requested.NetworkMode]))
    return `its networks are ${networks.join(', ')}, not ${requested.NetworkMode}`
  return undefined
}

const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, SHOWN_CHARACTERS)

/** Normalizes a value: engines write an empty list as null, and a capability with or without its prefix. */
function comparable(name: string, value: unknown): unknown {
  if (value === null || value === undefined) return []
  if (typeof value === 'object' && Object.keys(value).length === 0) return []
  if (name === 'CapAdd' || name === 'CapDrop')
    return (value as string[]).map((capability) => capability.replace(/^CAP_/, ''))
  if (name === 'Mounts') return (value as { Target: string }[]).map(({ Target }) => Target).sort()
  return value
}

const IN_MEMORY = '/tmp'
/** Limit for places: each is a volume, and is measured repeatedly. */
const MOST_PLACES = 16
/** Limit for nested places: the engine copies each, and copies nested ones again. */
const MOST_WITHIN = 1

/**
 * Returns the paths that a container can write to on the disk and that are deleted with it: its working folder, unless
 * that belongs to the system, and the volumes that its image declares.
 */
function workPlaces(image: ImageConfig | undefined, data?: string): string[] {
  const folder = posix.resolve('/', image?.WorkingDir || '/')
  if (data === folder)
    throw new ErrandError(
      'invalid_argument',
      `The data folder is ${data}, which is the working folder of the image: its files would stay as they are now, and no update would change them.`,
      { hint: `Use a separate folder, such as ${posix.join(folder, 'data')}.` },
    )
  const paths = new Set(imageVolumes(image).map((path) => posix.resolve('/', path)))
  if (isOwnFolder(folder)) paths.add(folder)
  // In memory.
  paths.delete(IN_MEMORY)
  if (data !== undefined) paths.delete(data)
  const places = [...paths].sort()
  const depthOf = (path: string) => places.filter((place) => path.startsWith(`${place}/`)).length
  const fault =
    places.length > MOST_PLACES
      ? `${places.length} volumes; at most ${MOST_PLACES} are supported`
      : places.some((path) => depthOf(path) > MOST_WITHIN)
        ? 'volumes within volumes within volumes'
        : undefined
  if (fault === undefined) return places
  throw new ErrandError('invalid_argument', `The image has ${fault}.`, {
    hint: 'Use an image with fewer volumes.',
  })
}
