import { setTimeout as sleep } from 'node:timers/promises'
import { sizeText } from '../../platform/text.ts'
import type { DockerEngine } from '../docker/docker-engine.ts'

const EVERY_MS = 1_000
/** Measuring may take one part in this many of the time. */
const SHARE = 5
/** Longest pause in ms, even if a bot makes a volume slow to measure. */
const MOST_MS = 10_000

/** Describes the volumes of a bot on the disk, and their limits. */
export interface VolumeLimits {
  /** Volumes that are deleted with its container; content from the image does not count. */
  work: { volumes: readonly string[]; limitBytes: number; imageBytes: number }
  data?: { volume: string; limitBytes: number }
}

export interface VolumeWatchOptions {
  engine: DockerEngine
  /** Id of its container. */
  container: string
  limits: VolumeLimits
  /** Receives the bytes in them, without content from the image. */
  onMeasured(bytes: number): void
  /** Called once, with the present size and the limit. */
  onFull(message: string): void
  signal: AbortSignal
}

/**
 * Measures a bot's volumes until the signal aborts, each second, and less often if that takes long. An engine limits no
 * volume by itself. A separate file system for each would need a loop device, which is lost with the next boot of the
 * machine, and which a runner in a container cannot create.
 */
export async function watchVolumes({
  engine,
  container,
  limits,
  onMeasured,
  onFull,
  signal,
}: VolumeWatchOptions): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now()
    const found = await measure(engine, container, limits, signal).catch(() => undefined)
    if (signal.aborted) return
    if (typeof found === 'string') {
      onFull(found)
      return
    }
    if (found !== undefined) onMeasured(found)
    const tookMs = performance.now() - began
    await sleep(pauseMs(tookMs), undefined, { signal }).catch(() => undefined)
  }
}

/** Returns the pause until the next measurement, after one that took this long. */
export const pauseMs = (tookMs: number): number => Math.min(MOST_MS, Math.max(EVERY_MS, tookMs * SHARE))

/**
 * Returns the bytes in them, or a message about the volume that exceeds its limit. Files that are in no folder count
 * for one of them.
 */
async function measure(
  engine: DockerEngine,
  container: string,
  { work, data }: VolumeLimits,
  signal: AbortSignal,
): Promise<number | string> {
  const nameless = work.volumes[0] ?? data?.volume
  const bytesOf = (volumes: readonly string[], enoughBytes: number) =>
    engine.volumeBytes(volumes, {
      enoughBytes,
      signal,
      ...(volumes[0] === nameless && { container }),
    })
  let dataBytes = 0
  if (data !== undefined) {
    dataBytes = await bytesOf([data.volume], data.limitBytes)
    if (dataBytes > data.limitBytes)
      return `Its data folder has ${shown(dataBytes)}, but the limit is ${sizeText(data.limitBytes)}. Start it with a larger --data-size, or export the data with errand bot data export and remove it.`
  }
  if (work.volumes.length === 0) return dataBytes
  const bytes = await bytesOf(work.volumes, work.limitBytes + work.imageBytes)
  const written = bytes - work.imageBytes
  if (written <= work.limitBytes) return dataBytes + Math.max(0, written)
  return `It has written ${shown(written)} to its working folder and volumes, but the limit is ${sizeText(work.limitBytes)}. Start it with a larger --work-size, or make it write less.`
}

/** Counting stops once it is clear that there is too much. */
const shown = (bytes: number): string =>
  Number.isFinite(bytes)
    ? `${sizeText(bytes)} or more`
    : 'paths that are too long, or too many open files, to measure'
