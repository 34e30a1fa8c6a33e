import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BotSource } from '../../../contract/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
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
  const auth = source.registry_auth && {
    username: source.registry_auth.username,
    password: passwordOf(source.registry_auth.password_secret, order),
  }
  const here = auth === undefined ? await localImage(name, supply) : undefined
  if (here !== undefined) return { id: here.id, title: source.image }
  order.phase('pulling')
  const keptName = new PrivateNames(order.stateDir, order.labels.owner).pulled(name.text)
  const image =
    auth === undefined ? await pulledImage(name, supply) : await privateImage(name, keptName, auth, supply)
  return { id: image.id, title: source.image }
}

function passwordOf(variable: string, order: ImageOrder): string {
  const password = order.secret(variable)
  if (password !== undefined) return password
  throw new ErrandError(
    'invalid_argument',
    `The step has no secret "${variable}", which its registry_auth names.`,
    {
      hint: 'Name it among the secrets of the step.',
    },
  )
}
