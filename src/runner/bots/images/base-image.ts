import { ErrandError } from '../../../contract/errors.ts'
import type { ImageInfo } from '../../containers/ports.ts'
import { isRefusedTrigger } from './dockerfile-rules.ts'
import { type ImageName, imageName } from './image-name.ts'
import { type ImageSupply, localImage, pulledImage } from './image-supply.ts'

/** Each is a copy of what stands there, in each step of a build: more than a few would fill the disk. */
const MOST_VOLUMES = 4

/** An image to build on. Those that the operator names, for simple bots, are used as they are here, unless it is to be anew. */
export async function baseImage(text: string, supply: ImageSupply): Promise<ImageInfo> {
  const { settings, pulledNames, progress } = supply
  const name = imageName(text)
  const isOperators = Object.values(settings.baseImages).some((base) => imageName(base).text === name.text)
  const here = isOperators ? await operatorsImage(name, supply) : await localImage(name, supply)
  if (here !== undefined && (await pulledNames.has(name.text))) await pulledNames.note(name.text, here.id)
  const image = here ?? (await pulledImage(name, supply))
  checkTriggers(text, image)
  checkVolumes(text, image)
  progress(`Base image ${name.text}: ${image.id}`)
  return image
}

/** Anew, it is what its registry gives now; one that is this machine's own has none, and one that does not answer is told of. */
async function operatorsImage(name: ImageName, supply: ImageSupply): Promise<ImageInfo | undefined> {
  const here = await supply.engine.image(name.text)
  if (!supply.refresh || here === undefined || (await localImage(name, supply)) !== undefined) return here
  return await pulledImage(name, supply).catch((error: Error) => {
    supply.signal.throwIfAborted()
    supply.progress(
      `Base image ${name.text} could not be pulled anew, and is used as it is here: ${error.message}`,
    )
    return here
  })
}

/** Holds what a base image does in the build on top of it to the rules of a Dockerfile. */
function checkTriggers(text: string, { onBuild = [] }: ImageInfo): void {
  const refused = onBuild.find(isRefusedTrigger)
  if (refused === undefined) return
  throw new ErrandError(
    'source_refused',
    `The base image ${text} has an ONBUILD instruction that is not taken: ${refused.slice(0, 200)}.`,
    {
      hint: 'Use a base image without ONBUILD COPY --from, ONBUILD ADD, ONBUILD VOLUME and ONBUILD RUN --mount.',
    },
  )
}

function checkVolumes(text: string, { volumes = [] }: ImageInfo): void {
  if (volumes.length <= MOST_VOLUMES) return
  throw new ErrandError(
    'source_refused',
    `The base image ${text} has ${volumes.length} volumes; ${MOST_VOLUMES} are taken.`,
    { hint: 'Use a base image with fewer.' },
  )
}
