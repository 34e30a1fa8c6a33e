import type { ImageConfig } from './docker-answers.ts'

const PREFIX = 'errand.volume.'

/**
 * An image that is built here declares its volumes by labels: of a real one each step of the build would get a copy of its
 * own on the machine's disk, made by the engine, which no limit of the build holds and no end of it ends.
 */
export const volumeLabel = (number: number): string => `${PREFIX}${number}`

/** Paths that an image declares as volumes, one way or the other. */
export function imageVolumes({ Volumes, Labels }: Pick<ImageConfig, 'Volumes' | 'Labels'> = {}): string[] {
  const labelled = Object.entries(Labels ?? {}).filter(([name]) => name.startsWith(PREFIX))
  return [...Object.keys(Volumes ?? {}), ...labelled.map(([, path]) => path)]
}
