import type Docker from 'dockerode'
import { ErrandError } from '../../../contract/errors.ts'
import type { ContainerOrder } from '../ports.ts'
import { hostConfig } from './host-config.ts'
import { imageVolumes } from './image-volumes.ts'
import { engineLabels } from './own-labels.ts'
import { differing } from './read-back.ts'

/** A container as ordered; one that the engine has made otherwise is removed again, with an error that says in what. */
export async function create(docker: Docker, network: string, order: ContainerOrder): Promise<string> {
  const image = await docker.getImage(order.image).inspect()
  const config = hostConfig(order, network, imageVolumes(image.Config))
  const container = await docker.createContainer({
    name: order.name,
    Image: order.image,
    ...(order.command === undefined ? {} : { Cmd: [...order.command] }),
    Env: Object.entries(order.env).map(([name, value]) => `${name}=${value}`),
    Labels: engineLabels(order.labels),
    Tty: false,
    OpenStdin: false,
    Healthcheck: { Test: ['NONE'] },
    StopTimeout: Math.ceil(order.stopGraceSeconds),
    HostConfig: config,
  })
  try {
    const difference = differing(config, await container.inspect())
    if (difference !== undefined)
      throw new ErrandError(
        'unavailable',
        `Docker does not hold the container to its limits: ${difference}.`,
        {
          hint: '`docker info` warns of what the kernel lacks; for swap, boot it with swapaccount=1 or use cgroup v2.',
        },
      )
  } catch (error) {
    await container.remove({ force: true, v: true })
    throw error
  }
  return container.id
}
