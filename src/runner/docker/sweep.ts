import type { DockerEngine, FoundContainer, ImageInfo } from './docker-engine.ts'

/** Longer than any step of a build takes. */
const BUILD_MS = 24 * 60 * 60_000

/**
 * Removes the containers of this runner whose attempt it does not hold (any more): what a crash between create and record
 * has left. Answers what is gone. Each is asked for after it was seen, so that one just being made stays. One without an
 * attempt is of a build, and has its labels from the image it stands on: the engine removes it itself, as a rule.
 */
export async function sweepContainers(
  engine: DockerEngine,
  runner: string,
  holds: (attempt: string) => boolean,
  now: number,
): Promise<FoundContainer[]> {
  const removed: FoundContainer[] = []
  for (const container of await engine.containers({ runner })) {
    const { attempt } = container.labels
    const isAtWork = attempt === undefined ? now - Date.parse(container.createdAt) < BUILD_MS : holds(attempt)
    if (isAtWork) continue
    await engine.remove(container.id)
    removed.push(container)
  }
  return removed
}

/**
 * Removes the volumes that containers of attempts had which this runner does not hold (any more), where no container has them.
 * Places for data bear no attempt, and stay. Answers how many are gone.
 */
export async function sweepVolumes(
  engine: DockerEngine,
  runner: string,
  holds: (attempt: string) => boolean,
): Promise<number> {
  let removed = 0
  for (const { name, labels } of await engine.volumes({ runner })) {
    if (labels.attempt === undefined || holds(labels.attempt)) continue
    if (await engine.removeVolume(name)) removed++
  }
  return removed
}

export interface ImageSweep {
  runner: string
  /** An image not used for so long goes. */
  unusedMs: number
  /** Of what is left the longest unused go, until all together are no larger. Layers that images share count in each. */
  totalBytes: number
  now: number
  /** When the image was last used, where that is known; else it is the time it was made. */
  lastUsed?(image: ImageInfo): number | undefined
}

/**
 * Removes images that this runner has built, with the layers that only they and builds before them have: the builds'
 * cache. Those that a container is made of stay, and so does what others have built. Answers what is gone.
 */
export async function sweepImages(engine: DockerEngine, order: ImageSweep): Promise<ImageInfo[]> {
  const used = (image: ImageInfo): number => order.lastUsed?.(image) ?? Date.parse(image.createdAt)
  const oldestFirst = (await engine.images({ runner: order.runner })).sort((a, b) => used(a) - used(b))
  let bytes = oldestFirst.reduce((sum, image) => sum + image.sizeBytes, 0)
  const removed: ImageInfo[] = []
  for (const image of oldestFirst) {
    const isOld = order.now - used(image) > order.unusedMs
    if (!isOld && bytes <= order.totalBytes) break
    if (!(await engine.removeImage(image.id))) continue
    bytes -= image.sizeBytes
    removed.push(image)
  }
  return removed
}
