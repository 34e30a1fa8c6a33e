import type { DockerEngine, FoundContainer, ImageInfo } from './docker-engine.ts'

/** Milliseconds; longer than any step of a build takes. */
const BUILD_MS = 24 * 60 * 60_000

/**
 * Removes the containers of this runner whose attempt it does not hold (any more): leftovers of a crash between
 * creation and record. Returns the removed ones. `holds` is called after a container was seen, so one that is being
 * created stays. A container without an attempt belongs to a build, and has its labels from its image: normally the
 * engine removes it itself.
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
 * Removes the volumes of containers whose attempts this runner does not hold (any more), if no container uses them.
 * Volumes for data name no attempt, and stay. Returns how many were removed.
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
  /** Milliseconds after which an unused image is removed. */
  unusedMs: number
  /**
   * Limit in bytes for all images together, after which the longest unused are removed. Layers that images share count
   * in each.
   */
  totalBytes: number
  now: number
  /** Returns when the image was last used, if known; otherwise the time of its creation counts. */
  lastUsed?(image: ImageInfo): number | undefined
}

/**
 * Removes images that this runner has built, with the layers that only they and earlier builds have: the builds' cache.
 * Images of containers stay, and so does what others have built. Returns the removed ones.
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
