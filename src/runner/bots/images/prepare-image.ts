import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BotSource } from '../../../contract/bots/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { shellWord } from '../../../platform/text.ts'
import { type BuildFolder, buildImage } from './build-image.ts'
import { type CustomSource, fetchCustom, pinCustom } from './custom-source.ts'
import { imageName } from './image-name.ts'
import type { ImageOrder, PreparedImage, PrepareImage } from './image-order.ts'
import { baseImage, type ImageSupply, imageSettings, localImage, pulledImage } from './image-supply.ts'
import { PrivateNames, privateImage } from './private-image.ts'
import { PulledNames } from './pulled-names.ts'
import { languageOf, type SimpleSource, writeSimple } from './simple-source.ts'

type Source<Mode extends BotSource['mode']> = Extract<BotSource, { mode: Mode }>

export const prepareImage: PrepareImage = async (order) => {
  const { source, engine, progress, signal } = order
  try {
    signal.throwIfAborted()
    const supply: ImageSupply = {
      engine,
      settings: imageSettings(order.env),
      pulledNames: new PulledNames(order.stateDir, engine),
      buildTurn: order.buildTurn,
      refresh: order.refresh,
      progress,
      signal,
    }
    if (source.mode === 'image') return await ready(source, order, supply)
    if (source.mode === 'git' && (source.git_auth ?? source.built) !== undefined)
      return await privateRepository(source, order, supply)
    order.phase('building')
    if (source.mode === 'simple') return await simple(source, order, supply)
    return await custom(source, order, supply)
  } catch (error) {
    // An aborted call throws various errors.
    signal.throwIfAborted()
    throw error
  }
}

async function simple(source: SimpleSource, order: ImageOrder, supply: ImageSupply): Promise<PreparedImage> {
  const title = source.base_image ?? supply.settings.baseImages[languageOf(source)]
  const folder = join(order.tempDir, 'context')
  await mkdir(folder)
  const { id } = await baseImage(title, supply)
  return { id: await built(await writeSimple(source, id, folder), order, supply), title }
}

async function custom(
  source: CustomSource,
  order: ImageOrder,
  supply: ImageSupply,
  password?: string,
): Promise<PreparedImage> {
  const folder = join(order.tempDir, 'context')
  const title = await fetchCustom(source, folder, order, supply, password)
  return { id: await built(await pinCustom(folder, source.dockerfile, order, supply), order, supply), title }
}

/** Prepares the image of a private repository. The password serves one fetch: the result is then used as it is here. */
async function privateRepository(
  source: Source<'git'>,
  order: ImageOrder,
  supply: ImageSupply,
): Promise<PreparedImage> {
  const { url, ref, git_auth, built } = source
  const storedName = storedNameOf(built, order)
  const here = await storedImage(storedName, supply)
  if (here !== undefined) return { id: here, title: url }
  const password = git_auth && order.secret(git_auth.password_secret)
  if (password === undefined) {
    const { username } = git_auth ?? built ?? {}
    throw goneImage(
      `The image that was built from ${url} is not on this runner, and the token that fetched its source is not stored.`,
      ['--custom', url, ...(ref ? ['--ref', ref] : []), ...(username ? ['--username', username] : [])],
      order,
      '--git-token',
    )
  }
  order.phase('building')
  const image = await custom(source, order, supply, password)
  await supply.pulledNames.note(storedName, image.id)
  await supply.engine.tag(image.id, storedName)
  return image
}

/** Returns the own name of an image that was fetched with a password, by the attempt that had it. */
function storedNameOf(had: { attempt_id: string } | undefined, order: ImageOrder): string {
  const { attempt, owner } = order.labels
  return new PrivateNames(order.stateDir, owner).pulled(had?.attempt_id ?? attempt)
}

async function storedImage(storedName: string, { pulledNames }: ImageSupply): Promise<string | undefined> {
  const here = await pulledNames.idOf(storedName)
  if (here !== undefined) await pulledNames.note(storedName, here)
  return here
}

function goneImage(
  message: string,
  options: readonly string[],
  { labels }: ImageOrder,
  last = '',
): ErrandError {
  const command = ['errand bot start', labels.bot, ...options.map(shellWord), last].join(' ').trimEnd()
  return new ErrandError('pull_refused', message, {
    hint: `Start the bot again with its password and secret variables: ${command}`,
  })
}

/** Builds an image. Its labels name no attempt: the same files make the same image. */
function built(folder: BuildFolder, order: ImageOrder, supply: ImageSupply): Promise<string> {
  const { runner, bot, owner } = order.labels
  const name = new PrivateNames(order.stateDir, owner).built(bot)
  return buildImage(folder, { name, labels: { runner, bot, owner } }, supply)
}

async function ready(
  source: Source<'image'>,
  order: ImageOrder,
  supply: ImageSupply,
): Promise<PreparedImage> {
  const name = imageName(source.image)
  const title = source.image
  const { username } = source.registry_auth ?? source.pulled ?? {}
  if (username !== undefined) return { id: await withPassword(source, username, order, supply), title }
  const here = await localImage(name, supply)
  if (here !== undefined) return { id: here.id, title }
  order.phase('pulling')
  return { id: (await pulledImage(name, supply)).id, title }
}

/** Prepares an image with a password, which serves one pull: the result is then used as it is here. */
async function withPassword(
  { image, registry_auth, pulled }: Source<'image'>,
  username: string,
  order: ImageOrder,
  supply: ImageSupply,
): Promise<string> {
  const storedName = storedNameOf(pulled, order)
  const here = await storedImage(storedName, supply)
  if (here !== undefined) return here
  const password = registry_auth && order.secret(registry_auth.password_secret)
  if (password === undefined)
    throw goneImage(
      `The image ${image} is not on this runner, and the password that it was pulled with is not stored.`,
      ['--image', image, '--username', username],
      order,
    )
  order.phase('pulling')
  return (await privateImage(imageName(image), storedName, { username, password }, supply)).id
}
