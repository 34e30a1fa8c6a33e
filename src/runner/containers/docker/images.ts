import type { ImageInfo, OwnLabels } from '../ports.ts'
import type { ImageAnswer, ListedContainer } from './docker-answers.ts'
import type { DockerClient } from './docker-client.ts'
import { isConflict, isGone } from './errors.ts'
import { splitImageName } from './image-name.ts'
import { despiteRemovals } from './lost-layers.ts'
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

/** Never by force: that would take an image from under a container that does not run just now. */
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

/** The names to be removed for an image to be gone; undefined where a container is made of it. */
async function namesOf(docker: DockerClient, id: string): Promise<string[] | undefined> {
  // Also those of images built on it.
  const query = { all: true, filters: { ancestor: [id] } }
  const containers = await docker.ask<ListedContainer[]>('GET', '/containers/json', { query })
  if (containers.some(({ ImageID }) => ImageID === id)) return undefined
  const names = (await image(docker, id))?.names ?? []
  return names.length === 0 ? [id] : [...names]
}
