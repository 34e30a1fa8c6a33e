import { ErrandError } from '../../../contract/errors.ts'
import type { ContainerEngine, ImageInfo, Progress, PullOrder } from '../../containers/ports.ts'
import type { ImageName } from './image-name.ts'
import { type ImageSettings, LOCAL_IMAGES, REGISTRY_ALLOW } from './image-settings.ts'
import type { ImageOrder } from './ports.ts'
import { isPublicRegistry } from './public-registries.ts'
import type { PulledNames } from './pulled-names.ts'

/** Where images come from. What is used is named by its id from then on: a name may come to mean another image. */
export interface ImageSupply {
  engine: ContainerEngine
  settings: ImageSettings
  pulledNames: PulledNames
  buildTurn: ImageOrder['buildTurn']
  /** Builds use nothing of earlier ones, and operators' base images are pulled where they can be. */
  refresh?: boolean
  progress: Progress
  signal: AbortSignal
}

/** One that the operator lets everybody use as it is here. What a bot has brought here is none, whatever it is called. */
export async function localImage(name: ImageName, supply: ImageSupply): Promise<ImageInfo | undefined> {
  if (!supply.settings.localImages.some((pattern) => pattern.test(name.text))) return undefined
  if (await supply.pulledNames.has(name.text)) return undefined
  return await supply.engine.image(name.text)
}

/** As the registry gives it now, to who asks with these credentials. */
export async function pulledImage(
  name: ImageName,
  supply: ImageSupply,
  auth?: PullOrder['auth'],
): Promise<ImageInfo> {
  const { engine, pulledNames, progress, signal } = supply
  checkRegistry(name, supply)
  const ours = await isOurs(name, supply)
  if (ours) await pulledNames.note(name.text)
  const pull = () => engine.pull({ image: name.text, auth, progress, signal })
  try {
    // The name may be taken off again, at this moment, by who pulls the same with credentials.
    const image = await pull().catch((error) => {
      if (error.code === 'not_found') return pull()
      throw error
    })
    if (ours) await pulledNames.note(name.text, image.id)
    return image
  } catch (error) {
    signal.throwIfAborted()
    // Fails where it is the engine that does not answer.
    if ((await engine.image(name.text)) === undefined) await pulledNames.forget(name.text)
    if (!(error instanceof ErrandError) || error.code !== 'unavailable') throw error
    throw new ErrandError('pull_refused', error.message, {
      hint: `Try again later. The operator of the runner can let images be used as they are there: ${LOCAL_IMAGES}=${name.text}.`,
      cause: error,
    })
  }
}

/** Whether the name is there for bots only, or not at all. */
export async function isOurs(name: ImageName, { engine, pulledNames }: ImageSupply): Promise<boolean> {
  return (await pulledNames.has(name.text)) || (await engine.image(name.text)) === undefined
}

function checkRegistry({ registry }: ImageName, { settings }: ImageSupply): void {
  if (isPublicRegistry(registry) || settings.registries.has(new URL(`https://${registry}`))) return
  throw new ErrandError('source_refused', `No images are pulled from the registry ${registry} here.`, {
    hint: `The operator of the runner can allow it: ${REGISTRY_ALLOW}=${registry}.`,
  })
}
