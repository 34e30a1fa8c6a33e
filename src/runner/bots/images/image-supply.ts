import { type Env, setting } from '../../../config/read-setting.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Progress } from '../../../docker/docker-answers.ts'
import type { PullOrder } from '../../../docker/pull.ts'
import type { BuildOrder, DockerEngine, ImageInfo } from '../../docker/docker-engine.ts'
import { AllowedOrigins } from '../../git/server-addresses.ts'
import { GIT_ALLOW } from '../../sources/clone.ts'
import { cpuShares } from '../bot-caps.ts'
import { isRefusedTrigger } from './dockerfile.ts'
import { type ImageName, imageName, isPublicRegistry } from './image-name.ts'
import type { ImageOrder } from './image-order.ts'
import type { PulledNames } from './pulled-names.ts'

/** Provides images. A used image is then named by its id, since a name may come to mean another image. */
export interface ImageSupply {
  engine: DockerEngine
  settings: ImageSettings
  pulledNames: PulledNames
  buildTurn: ImageOrder['buildTurn']
  /** Builds use nothing of earlier ones, and operators' base images are pulled if possible. */
  refresh?: boolean
  progress: Progress
  signal: AbortSignal
}

/**
 * Returns an image that the operator lets everybody use as it is here. An image that a bot has brought here is not one,
 * whatever its name.
 */
export async function localImage(name: ImageName, supply: ImageSupply): Promise<ImageInfo | undefined> {
  if (!supply.settings.localImages.some((pattern) => pattern.test(name.text))) return undefined
  if (await supply.pulledNames.has(name.text)) return undefined
  return await supply.engine.image(name.text)
}

/** Pulls the registry's present image, with these credentials. */
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
    // The name may be removed at this moment by somebody who pulls the same image with credentials.
    const image = await pull().catch((error) => {
      if (error.code === 'not_found') return pull()
      throw error
    })
    if (ours) await pulledNames.note(name.text, image.id)
    return image
  } catch (error) {
    signal.throwIfAborted()
    // This fails if the engine does not answer.
    if ((await engine.image(name.text)) === undefined) await pulledNames.forget(name.text)
    if (!(error instanceof ErrandError) || error.code !== 'unavailable') throw error
    throw new ErrandError('pull_refused', error.message, {
      hint: `Try again later. The operator of the runner can allow the local copy to be used: ${LOCAL_IMAGES}=${name.text}.`,
      cause: error,
    })
  }
}

/** Reports whether the name exists only for bots, or not at all. */
export async function isOurs(name: ImageName, { engine, pulledNames }: ImageSupply): Promise<boolean> {
  return (await pulledNames.has(name.text)) || (await engine.image(name.text)) === undefined
}

function checkRegistry({ registry }: ImageName, { settings }: ImageSupply): void {
  if (isPublicRegistry(registry) || settings.registries.has(new URL(`https://${registry}`))) return
  throw new ErrandError('source_refused', `This runner does not pull images from the registry ${registry}.`, {
    hint: `The operator of the runner can allow it: ${REGISTRY_ALLOW}=${registry}.`,
  })
}

/** Registries, besides those of large providers, that the operator allows. */
const REGISTRY_ALLOW = 'ERRAND_REGISTRY_ALLOW'
/** Image names, with `*` for any text, that are used as they are on this machine. */
const LOCAL_IMAGES = 'ERRAND_LOCAL_IMAGES'

interface ImageSettings {
  baseImages: Readonly<Record<'python' | 'node', string>>
  buildLimits: BuildOrder['limits']
  buildTimeoutMs: number
  localImages: readonly RegExp[]
  registries: AllowedOrigins
  gitServers: AllowedOrigins
  /** Certificates for Git. */
  caFile?: string
}

/** Reads the settings from the runner's environment. Throws `invalid_argument` with the variable's name. */
export function imageSettings(env: Env): ImageSettings {
  const seconds = setting(env, 'ERRAND_BUILD_SECONDS')
  const cpus = setting(env, 'ERRAND_BUILD_CPUS')
  return {
    baseImages: { python: setting(env, 'BASE_IMAGE'), node: setting(env, 'ERRAND_NODE_BASE_IMAGE') },
    buildLimits: {
      memoryBytes: setting(env, 'ERRAND_BUILD_MEMORY'),
      cpus,
      cpuShares: cpuShares(cpus),
      processes: Math.ceil(setting(env, 'ERRAND_BUILD_PROCESSES')),
      diskBytes: setting(env, 'ERRAND_BUILD_DISK'),
    },
    buildTimeoutMs: seconds * 1000,
    localImages: setting(env, LOCAL_IMAGES).map(namePattern),
    registries: new AllowedOrigins(setting(env, REGISTRY_ALLOW), REGISTRY_ALLOW),
    gitServers: new AllowedOrigins(setting(env, GIT_ALLOW), GIT_ALLOW),
    ...(env.GIT_SSL_CAINFO ? { caFile: env.GIT_SSL_CAINFO } : {}),
  }
}

/** Compiles a pattern; one without a tag matches every tag. */
function namePattern(text: string): RegExp {
  const literal = text.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'))
  const hasTag = /[:@][^/]*$/.test(text)
  return new RegExp(`^${literal.join('.*')}${hasTag ? '' : '(?:[:@][^/]*)?'}$`)
}

/** Limit for volumes: each step of a build copies their content, so more than a few would fill the disk. */
const MOST_VOLUMES = 4

/**
 * Returns an image to build on. Images that the operator names, for simple bots, are used as they are here, unless they
 * are to be refreshed.
 */
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

/**
 * Returns the operator's image. A refresh pulls it from its registry; a local image has none, and a registry that does
 * not answer is reported.
 */
async function operatorsImage(name: ImageName, supply: ImageSupply): Promise<ImageInfo | undefined> {
  const here = await supply.engine.image(name.text)
  if (!supply.refresh || here === undefined || (await localImage(name, supply)) !== undefined) return here
  return await pulledImage(name, supply).catch((error: Error) => {
    supply.signal.throwIfAborted()
    supply.progress(
      `Base image ${name.text} could not be pulled again, so the local copy is used: ${error.message}`,
    )
    return here
  })
}

/** Applies the rules of a Dockerfile to what a base image executes in the build on top of it. */
function checkTriggers(text: string, { onBuild = [] }: ImageInfo): void {
  const refused = onBuild.find(isRefusedTrigger)
  if (refused === undefined) return
  throw new ErrandError(
    'source_refused',
    `The base image ${text} has an ONBUILD instruction that is not supported: ${refused.slice(0, 200)}.`,
    {
      hint: 'Use a base image without ONBUILD COPY --from, ONBUILD ADD, ONBUILD VOLUME and ONBUILD RUN --mount.',
    },
  )
}

function checkVolumes(text: string, { volumes = [] }: ImageInfo): void {
  if (volumes.length <= MOST_VOLUMES) return
  throw new ErrandError(
    'source_refused',
    `The base image ${text} has ${volumes.length} volumes; at most ${MOST_VOLUMES} are supported.`,
    { hint: 'Use a base image with fewer volumes.' },
  )
}
