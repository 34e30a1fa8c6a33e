import { ErrandError } from '../../../contract/errors.ts'
import type { BuildOrder } from '../ports.ts'
import type { ImageAnswer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'

/** Throws `build_failed` where an image is larger than one may be that is built. One that is gone again is not. */
export async function checkImageSize(
  docker: DockerClient,
  id: string,
  { diskBytes }: BuildOrder['limits'],
): Promise<void> {
  const image = await docker.ask<ImageAnswer>('GET', `/images/${id}/json`).catch(() => undefined)
  if (image === undefined || image.Size <= diskBytes) return
  const [has, most] = [image.Size, diskBytes].map((bytes) => `${Math.round(bytes / 1024 ** 2)} MB`)
  throw new ErrandError(
    'build_failed',
    `The image has ${has}, and one that is built here may have ${most} of disk.`,
    { hint: 'Leave out of it what is not needed; its base image counts too.' },
  )
}
