import { ErrandError } from '../../../contract/errors.ts'
import type { ContainerOrder } from '../ports.ts'
import type { ContainerAnswer, ImageAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
import { healthcheck } from './healthcheck.ts'
import { openPlaces } from './held-volumes.ts'
import { hostConfig } from './host-config.ts'
import { engineLabels } from './own-labels.ts'
import { differing } from './read-back.ts'
import { workPlaces } from './work-places.ts'

/** A container as ordered; one that the engine has made otherwise is removed again, with an error that says in what. `isHere`: its disk is this machine's. */
export async function create(
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
      Labels: engineLabels(order.labels),
      Tty: false,
      OpenStdin: false,
      Healthcheck: healthcheck(order.health, image.Config?.Healthcheck),
      StopTimeout: Math.ceil(order.stopGraceSeconds),
      HostConfig: config,
    },
  })
  try {
    const info = await docker.ask<ContainerAnswer>('GET', `/containers/${id}/json`)
    const difference = differing(config, info)
    if (difference !== undefined)
      throw new ErrandError(
        'unavailable',
        `Docker does not hold the container to its limits: ${difference}.`,
        {
          hint: '`docker info` warns of what the kernel lacks; for swap, boot it with swapaccount=1 or use cgroup v2.',
        },
      )
    const mounted = info.Mounts.flatMap(({ Name, Destination, Source }) =>
      Name === undefined ? [] : [{ volume: Name, path: Destination, folder: isHere ? Source : undefined }],
    )
    const { labels, data } = order
    await openPlaces(docker, id, { user: image.Config?.User, mounted, labels })
    const own = mounted.filter(({ path }) => path !== data?.path)
    return { id, volumes: own.map(({ volume }) => volume) }
  } catch (error) {
    await docker.ask('DELETE', `/containers/${id}`, { query: { force: true, v: true } })
    throw error
  }
}
