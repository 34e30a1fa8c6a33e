import { ErrandError } from '../../contract/errors.ts'
import type { ImageAnswer, ImageConfig, ListedContainer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { despiteRemovals, isConflict, isGone } from '../../docker/docker-errors.ts'
import { splitImageName } from '../../docker/pull.ts'
import type { BuildOrder, ImageInfo, OwnLabels } from './docker-engine.ts'
import { labelFilter } from './own-labels.ts'

interface ListedImage {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Labels: Record<string, string> | null
  Size: number
  Created: number
}

const NO_NAME = '<none>:<none>'
const NO_DIGEST = '<none>@<none>'

export async function image(docker: DockerClient, nameOrId: string): Promise<ImageInfo | undefined> {
  try {
    const found = await docker.ask<ImageAnswer>('GET', `/images/${nameOrId}/json`)
    const { Id, RepoTags, RepoDigests, Config, Size, Created } = found
    return {
      id: Id,
      names: RepoTags ?? [],
      digests: RepoDigests ?? [],
      onBuild: Config?.OnBuild ?? [],
      volumes: Object.keys(Config?.Volumes ?? {}),
      ...(Config?.Shell?.length ? { shell: Config.Shell } : {}),
      labels: Config?.Labels ?? {},
      sizeBytes: Size,
      createdAt: Created,
    }
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

export async function images(docker: DockerClient, labels: Partial<OwnLabels>): Promise<ImageInfo[]> {
  const query = { filters: { label: labelFilter(labels) } }
  const found = await despiteRemovals(() => docker.ask<ListedImage[]>('GET', '/images/json', { query }))
  return found.map(({ Id, RepoTags, RepoDigests, Labels, Size, Created }) => ({
    id: Id,
    names: (RepoTags ?? []).filter((name) => name !== NO_NAME),
    digests: (RepoDigests ?? []).filter((name) => name !== NO_DIGEST),
    labels: Labels ?? {},
    sizeBytes: Size,
    createdAt: new Date(Created * 1000).toISOString(),
  }))
}

export async function tag(docker: DockerClient, id: string, name: string): Promise<void> {
  await docker.ask('POST', `/images/${id}/tag`, { query: splitImageName(name) })
}

/**
 * Removes an image, but never by force, which would take an image from under a container that does not run at the
 * moment.
 */
export async function removeImage(docker: DockerClient, nameOrId: string): Promise<boolean> {
  const names = nameOrId.startsWith('sha256:') ? await namesOf(docker, nameOrId) : [nameOrId]
  if (names === undefined) return false
  for (const name of names) {
    try {
      await despiteRemovals(() => docker.ask('DELETE', `/images/${name}`))
    } catch (error) {
      if (isConflict(error)) return false
      if (!isGone(error)) throw error
    }
  }
  return true
}

/** Returns the names to remove for an image to be gone; undefined if a container uses it. */
async function namesOf(docker: DockerClient, id: string): Promise<string[] | undefined> {
  // Including those of images built on it.
  const query = { all: true, filters: { ancestor: [id] } }
  const containers = await docker.ask<ListedContainer[]>('GET', '/containers/json', { query })
  if (containers.some(({ ImageID }) => ImageID === id)) return undefined
  const names = (await image(docker, id))?.names ?? []
  return names.length === 0 ? [id] : [...names]
}

const PREFIX = 'errand.volume.'

/**
 * Returns the label that declares a volume of an image built here. With a real volume, each step of the build would get
 * its own copy on the machine's disk, made by the engine, which no limit and no end of the build affects.
 */
export const volumeLabel = (number: number): string => `${PREFIX}${number}`

/** Returns the paths that an image declares as volumes, in either way. */
export function imageVolumes({ Volumes, Labels }: Pick<ImageConfig, 'Volumes' | 'Labels'> = {}): string[] {
  const labelled = Object.entries(Labels ?? {}).filter(([name]) => name.startsWith(PREFIX))
  return [...Object.keys(Volumes ?? {}), ...labelled.map(([, path]) => path)]
}

/** Throws `build_failed` if a built image exceeds the size limit; ignores one that is gone again. */
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
    `The image uses ${has} of disk space, but an image that is built here may use at most ${most}.`,
    { hint: 'Remove what it does not need. Its base image counts too.' },
  )
}
