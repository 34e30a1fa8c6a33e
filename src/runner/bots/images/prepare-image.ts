import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BotSource } from '../../../contract/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { shellWord } from '../../../platform/shell-word.ts'
import { baseImage } from './base-image.ts'
import { type BuildFolder, buildImage } from './build-image.ts'
import { fetchCustom, pinCustom } from './custom-source.ts'
import { imageName } from './image-name.ts'
import { imageSettings } from './image-settings.ts'
import { type ImageSupply, localImage, pulledImage } from './image-supply.ts'
import type { ImageOrder, PreparedImage, PrepareImage } from './ports.ts'
import { privateImage } from './private-image.ts'
import { PrivateNames } from './private-names.ts'
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
      progress,
      signal,
    }
    if (source.mode === 'image') return await ready(source, order, supply)
    order.phase('building')
    if (source.mode === 'simple') return await simple(source, order, supply)
    const folder = join(order.tempDir, 'context')
    const title = await fetchCustom(source, folder, order, supply)
    return {
      id: await built(await pinCustom(folder, source.dockerfile, order, supply), order, supply),
      title,
    }
  } catch (error) {
    // What was cut off throws this and that.
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

/** No attempt among its labels: the same files make the same image. */
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

/** A password serves one pull: what came by it is taken as it is here from then on. */
async function withPassword(
  { image, registry_auth, pulled }: Source<'image'>,
  username: string,
  order: ImageOrder,
  supply: ImageSupply,
): Promise<string> {
  const { attempt, bot, owner } = order.labels
  const keptName = new PrivateNames(order.stateDir, owner).pulled(pulled?.attempt_id ?? attempt)
  const here = await supply.pulledNames.idOf(keptName)
  if (here !== undefined) {
    await supply.pulledNames.note(keptName, here)
    return here
  }
  const password = registry_auth && order.secret(registry_auth.password_secret)
  if (password === undefined)
    throw new ErrandError(
      'pull_refused',
      `The image ${image} is not on this runner, and the password that it was pulled with is kept nowhere.`,
      {
        hint: `Start the bot anew, its password and secret variables given again: errand bot start ${bot} --image ${shellWord(image)} --username ${shellWord(username)}`,
      },
    )
  order.phase('pulling')
  return (await privateImage(imageName(image), keptName, { username, password }, supply)).id
}
