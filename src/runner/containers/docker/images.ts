import type Docker from 'dockerode'
import type { ImageInfo, OwnLabels } from '../ports.ts'
import { isConflict, isGone } from './errors.ts'
import { splitImageName } from './image-name.ts'
import { despiteRemovals } from './lost-layers.ts'
import { labelFilter } from './own-labels.ts'

const NO_NAME = '<none>:<none>'
const NO_DIGEST = '<none>@<none>'

export async function image(docker: Docker, nameOrId: string): Promise<ImageInfo | undefined> {
  try {
    const { Id, RepoTags, RepoDigests, Config, Size, Created } = await docker.getImage(nameOrId).inspect()
    const { Shell } = (Config ?? {}) as { Shell?: string[] }
    return {
      id: Id,
      names: RepoTags ?? [],
      digests: RepoDigests ?? [],
      onBuild: Config?.OnBuild ?? [],
      volumes: Object.keys(Config?.Volumes ?? {}),
      ...(Shell?.length ? { shell: Shell } : {}),
      labels: Config?.Labels ?? {},
      sizeBytes: Size,
      createdAt: Created,
    }
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

export async function images(docker: Docker, labels: Partial<OwnLabels>): Promise<ImageInfo[]> {
  const filters = { label: labelFilter(labels) }
  const found = await despiteRemovals(() => docker.listImages({ filters }))
  return found.map(({ Id, RepoTags, RepoDigests, Labels, Size, Created }) => ({
    id: Id,
    names: (RepoTags ?? []).filter((name) => name !== NO_NAME),
    digests: (RepoDigests ?? []).filter((name) => name !== NO_DIGEST),
    labels: Labels ?? {},
    sizeBytes: Size,
    createdAt: new Date(Created * 1000).toISOString(),
  }))
}

export async function tag(docker: Docker, id: string, name: string): Promise<void> {
  const { repo, tag } = splitImageName(name)
  await docker.getImage(id).tag({ repo, tag })
}

/** Never by force: that would take an image from under a container that does not run just now. */
export async function removeImage(docker: Docker, nameOrId: string): Promise<boolean> {
  const names = nameOrId.startsWith('sha256:') ? await namesOf(docker, nameOrId) : [nameOrId]
  if (names === undefined) return false
  for (const name of names) {
    try {
      await despiteRemovals(() => docker.getImage(name).remove())
    } catch (error) {
      if (isConflict(error)) return false
      if (!isGone(error)) throw error
    }
  }
  return true
}

/** What is to be removed for an image to be gone; undefined where a container is made of it. */
async function namesOf(docker: Docker, id: string): Promise<string[] | undefined> {
  // Also those of images built on it.
  const containers = await docker.listContainers({ all: true, filters: { ancestor: [id] } })
  if (containers.some(({ ImageID }) => ImageID === id)) return undefined
  const names = (await image(docker, id))?.names ?? []
  return names.length === 0 ? [id] : [...names]
}
