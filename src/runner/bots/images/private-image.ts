import type { ImageInfo, PullOrder } from '../../containers/ports.ts'
import type { ImageName } from './image-name.ts'
import { type ImageSupply, isOurs, pulledImage } from './image-supply.ts'

/**
 * Pulls with credentials. The image is kept by a name that only its owner is given, and the name and digest that it came
 * by are taken off the engine again, unless they were there before.
 */
export async function privateImage(
  name: ImageName,
  keptName: string,
  auth: PullOrder['auth'],
  supply: ImageSupply,
): Promise<ImageInfo> {
  const { engine, pulledNames } = supply
  const before = (await isOurs(name, supply)) ? undefined : await engine.image(name.text)
  const image = await pulledImage(name, supply, auth)
  try {
    await pulledNames.note(keptName, image.id)
    await engine.tag(image.id, keptName)
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
