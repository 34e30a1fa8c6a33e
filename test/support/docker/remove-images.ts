import { setTimeout as sleep } from 'node:timers/promises'
import { despiteRemovals } from '../../../src/docker/docker-errors.ts'
import type { DockerApi, ImageApi, ListedImage } from './docker-api.ts'

const PATIENCE_MS = 180_000

/**
 * Removes all images with the label, and the ones that build on others of them first. If another test has built on an
 * image, as happens when both build the same, that image only loses its names: the engine removes it together with the
 * image that builds on it. Throws if an image stays for any other reason.
 */
export async function removeImages(engine: DockerApi, label: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    const images = await listImages(engine, { filters: { label: [label] } })
    // The parent of a removed image appears in the list only then.
    if (images.length === 0) return
    const failures = await Promise.all(images.map(({ Id }) => failureOf(engine.getImage(Id))))
    const inUse = images.filter((_, index) => failures[index] !== undefined)
    if (inUse.length < images.length) continue
    const others = await builtByOthers(engine, label)
    if (inUse.every(({ Id }) => others.has(Id))) return await unname(engine, inUse)
    if (Date.now() > deadline) throw failures.find((failure) => failure !== undefined)
    await sleep(100)
  }
}

/** Lists images, although other tests may remove some at this moment. */
export const listImages = (
  engine: DockerApi,
  options: Readonly<Record<string, unknown>>,
): Promise<ListedImage[]> => despiteRemovals(() => engine.listImages(options))

interface Failure {
  statusCode?: number
  message: string
}

/** Removes an image. Returns undefined if it is gone, or else why it is still there. */
async function failureOf(image: ImageApi): Promise<Failure | undefined> {
  try {
    await despiteRemovals(() => image.remove({ force: true }))
  } catch (error) {
    const failure = error as Failure
    if (failure.statusCode === 404) return undefined
    if (failure.statusCode === 409) return failure
    throw error
  }
}

/**
 * Returns the ids of all images that someone else's image builds on. An image without names and labels belongs to
 * nobody: it is being built, or was left behind.
 */
async function builtByOthers(engine: DockerApi, label: string): Promise<Set<string>> {
  const all = await listImages(engine, { all: true })
  const ours = new Set(
    (await listImages(engine, { all: true, filters: { label: [label] } })).map(({ Id }) => Id),
  )
  const parents = new Map(all.map(({ Id, ParentId }) => [Id, ParentId]))
  const under = new Set<string>()
  for (const image of all) {
    if (ours.has(image.Id) || (names(image).length === 0 && Object.keys(image.Labels ?? {}).length === 0))
      continue
    for (let id = parents.get(image.Id); id && !under.has(id); id = parents.get(id)) under.add(id)
  }
  return under
}

const names = ({ RepoTags }: ListedImage) => (RepoTags ?? []).filter((name) => name !== '<none>:<none>')

async function unname(engine: DockerApi, images: readonly ListedImage[]): Promise<void> {
  for (const name of images.flatMap(names)) await failureOf(engine.getImage(name))
}
