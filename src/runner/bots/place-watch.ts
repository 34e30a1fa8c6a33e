import { setTimeout as sleep } from 'node:timers/promises'
import { sizeText } from '../../platform/text.ts'
import type { DockerEngine } from '../docker/docker-engine.ts'

const EVERY_MS = 1_000
/** Of the time, the part that measuring may take. */
const SHARE = 5
/** The longest pause: a place that a bot makes slow to measure is looked at all the same. */
const MOST_MS = 10_000

/** The places of a bot on the disk, and how much may stand there. */
export interface Places {
  /** Volumes that go with its container; what they had of the image counts for nothing. */
  work: { volumes: readonly string[]; limitBytes: number; imageBytes: number }
  data?: { volume: string; limitBytes: number }
}

export interface PlaceWatchOptions {
  engine: DockerEngine
  /** Id of its container. */
  container: string
  places: Places
  /** Told what stands in them now, beyond what they had of the image. */
  onMeasured(bytes: number): void
  /** Once: with what there is and what may be. */
  onFull(message: string): void
  signal: AbortSignal
}

/**
 * Until the signal is aborted: looks what stands in a bot's places, each second, and less often where that takes long. An engine
 * bounds no volume by itself: a file system of its own for each would take a loop device, which is lost with the next boot of the
 * machine, and which a runner that is in a container cannot make.
 */
export async function watchPlaces({
  engine,
  container,
  places,
  onMeasured,
  onFull,
  signal,
}: PlaceWatchOptions): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now()
    const found = await look(engine, container, places, signal).catch(() => undefined)
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

/** Until the next look, behind one that took so long. */
export const pauseMs = (tookMs: number): number => Math.min(MOST_MS, Math.max(EVERY_MS, tookMs * SHARE))

/** Returns what stands in them; or what to say of the one that has more than it may. Files that stand in no folder count for one of them. */
async function look(
  engine: DockerEngine,
  container: string,
  { work, data }: Places,
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
      return `Its place for data has ${told(dataBytes)} and may have ${sizeText(data.limitBytes)}. Start it with a larger --data-size, or take the data out with errand bot data export and remove it.`
  }
  if (work.volumes.length === 0) return dataBytes
  const bytes = await bytesOf(work.volumes, work.limitBytes + work.imageBytes)
  const written = bytes - work.imageBytes
  if (written <= work.limitBytes) return dataBytes + Math.max(0, written)
  return `It has written ${told(written)} into its working folder and volumes and may write ${sizeText(work.limitBytes)}. Start it with a larger --work-size, or let it write less.`
}

/** Counted no further than to see that it is too much. */
const told = (bytes: number): string =>
  Number.isFinite(bytes)
    ? `${sizeText(bytes)} or more`
    : 'paths that are too long, or too many open files, to be measured'
