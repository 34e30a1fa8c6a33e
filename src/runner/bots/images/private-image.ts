import { createHash, createHmac, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PullOrder } from '../../../docker/pull.ts'
import { writeFileAtomic } from '../../../platform/files.ts'
import type { ImageInfo } from '../../docker/docker-engine.ts'
import { type ImageName, PRIVATE_PART } from './image-name.ts'
import { type ImageSupply, isOurs, pulledImage } from './image-supply.ts'

/**
 * Pulls with credentials. The image gets a name that only its owner learns; the name and digest of the pull are removed
 * from the engine, unless they existed before.
 */
export async function privateImage(
  name: ImageName,
  storedName: string,
  auth: PullOrder['auth'],
  supply: ImageSupply,
): Promise<ImageInfo> {
  const { engine, pulledNames } = supply
  const before = (await isOurs(name, supply)) ? undefined : await engine.image(name.text)
  const image = await pulledImage(name, supply, auth)
  try {
    await pulledNames.note(storedName, image.id)
    await engine.tag(image.id, storedName)
  } finally {
    await hide(name, image, before, supply)
  }
  return image
}

async function hide(
  name: ImageName,
  image: ImageInfo,
  before: ImageInfo | undefined,
  { engine, pulledNames }: ImageSupply,
): Promise<void> {
  if (before === undefined) await engine.removeImage(name.text)
  else if (before.id !== image.id) await engine.tag(before.id, name.text)
  const digests = image.digests.filter(
    (digest) => digest.startsWith(`${name.repository}@`) && before?.digests.includes(digest) !== true,
  )
  for (const digest of digests) await engine.removeImage(digest)
  if (before === undefined) await pulledNames.forget(name.text)
}

/** Makes names for the images of one owner that nobody else can guess, with a key of this runner. */
export class PrivateNames {
  readonly #folder: string

  constructor(stateDir: string, owner: string) {
    this.#folder = createHmac('sha256', runnerKey(stateDir)).update(owner).digest('hex').slice(0, 40)
  }

  built(bot: string): string {
    return `${PRIVATE_PART}/${this.#folder}/built:${bot}`
  }

  /**
   * Returns the name by the attempt that has pulled it: a tag may come to mean another image, and a bot restarts with
   * its own.
   */
  pulled(attemptId: string): string {
    return `${PRIVATE_PART}/${this.#folder}/pulled:${createHash('sha256').update(attemptId).digest('hex')}`
  }
}

function runnerKey(stateDir: string): string {
  const file = join(stateDir, 'image-names.key')
  if (!existsSync(file)) {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    writeFileAtomic(file, randomBytes(32).toString('hex'), { mode: 0o600 })
  }
  return readFileSync(file, 'utf8')
}
