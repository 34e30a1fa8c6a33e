import { posix } from 'node:path'
import { isOwnFolder } from '../../../contract/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { ImageConfig } from './docker-answers.ts'
import { imageVolumes } from './image-volumes.ts'

const TMP = '/tmp'
/** Each is a volume, and looked at again and again. */
const MOST_PLACES = 16
/** Of each the engine makes a copy, and one of what is within it again. */
const MOST_WITHIN = 1

/**
 * The paths that a container can write to on the disk, and that go with it: its working folder, unless that is one of the
 * system's, and the volumes that its image declares.
 */
export function workPlaces(image: ImageConfig | undefined, data?: string): string[] {
  const folder = posix.resolve('/', image?.WorkingDir || '/')
  if (data === folder)
    throw new ErrandError(
      'invalid_argument',
      `The place for data is ${data}, which is the working folder of the image: what stands there would stay as it is now, and no update would change it.`,
      { hint: `Take a folder of its own, such as ${posix.join(folder, 'data')}.` },
    )
  const paths = new Set(imageVolumes(image).map((path) => posix.resolve('/', path)))
  if (isOwnFolder(folder)) paths.add(folder)
  // Memory.
  paths.delete(TMP)
  if (data !== undefined) paths.delete(data)
  const places = [...paths].sort()
  const depthOf = (path: string) => places.filter((place) => path.startsWith(`${place}/`)).length
  const fault =
    places.length > MOST_PLACES
      ? `${places.length} volumes; ${MOST_PLACES} are taken`
      : places.some((path) => depthOf(path) > MOST_WITHIN)
        ? 'volumes within volumes within volumes'
        : undefined
  if (fault === undefined) return places
  throw new ErrandError('invalid_argument', `The image has ${fault}.`, { hint: 'Use an image with fewer.' })
}
