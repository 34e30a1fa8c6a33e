import { createHash } from 'node:crypto'
import { pipeline, Transform } from 'node:stream'
import type { DataAnswer, DataAsk } from '../../contract/bots/bot-data.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import { sizeText } from '../../platform/text.ts'
import type { BotServices } from './bot-services.ts'
import { hasDockerName } from './docker-here.ts'

/** Identifies the owner of a place for data: tenant and owner, as one text. */
export interface DataOf {
  runner: string
  owner: string
  bot: string
}

/** Returns tenant and owner in the form used in labels. */
export const ownerText = ({ tenant, owner }: { tenant?: string; owner?: string }): string =>
  `${tenant ?? ''}/${owner ?? ''}`

/** Returns the name of the single volume of this runner for the data of that bot. */
export function dataVolume({ runner, owner, bot }: DataOf): string {
  const hash = createHash('sha256').update(JSON.stringify([runner, owner, bot]))
  return `errand-data-${hash.digest('hex').slice(0, 32)}`
}

/** Makes the data to send; called again for each try. */
export type MakeData = () => AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>

/** Sends the tar to the hub, as the answer to its request. */
export type SendData = (askId: string, make: MakeData, signal: AbortSignal) => Promise<void>

/** Limits of a tar, as a multiple of the data's limit on the disk, and an absolute minimum in bytes. */
const LONGEST_TIMES = 16
const LONGEST_BYTES = 1024 ** 3

/** Limits a tar: a file with holes takes no room on the disk, but its full length in a tar. */
function boundedTar({ bot_id, limit_bytes }: DataAsk): Transform {
  const mostBytes =
    limit_bytes === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(LONGEST_BYTES, LONGEST_TIMES * limit_bytes)
  let bytes = 0
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      bytes += chunk.length
      if (bytes <= mostBytes) return done(null, chunk)
      const longest = `for a data limit of ${sizeText(limit_bytes!)}, a tar may have at most ${sizeText(mostBytes)}`
      done(
        new ErrandError('quota_exceeded', `The tar of the data of bot "${bot_id}" is too long: ${longest}.`, {
          hint: 'The likely cause is large sparse files (files with holes). Remove them.',
        }),
      )
    },
  })
}

/** Executes a request of the hub for the data of a bot, which may run meanwhile. Never rejects. */
export async function answerData(
  askId: string,
  ask: DataAsk,
  services: BotServices,
  signal: AbortSignal,
): Promise<DataAnswer> {
  try {
    // A runner that had no bot yet has no data, and may have no engine.
    if (!hasDockerName(services.options.stateDir)) return none(ask)
    const { runner } = services
    const name = dataVolume({ runner, owner: ownerText(ask), bot: ask.bot_id })
    const engine = await services.engine()
    if (!(await engine.volumes({ runner })).some((volume) => volume.name === name)) return none(ask)
    if (ask.what === 'measure') {
      const bytes = await services.measured(engine, name)
      return { exists: true, ...(Number.isFinite(bytes) && { bytes }) }
    }
    if (ask.what === 'remove') {
      if (await engine.removeVolume(name)) return { exists: false }
      throw new ErrandError('conflict', `The data of bot "${ask.bot_id}" is in use by its container.`, {
        hint: `Stop it first: errand bot stop ${ask.bot_id}`,
      })
    }
    const make = async () => {
      const tar = await engine.readVolume(name, { runner })
      // Its reader receives the error.
      return pipeline(tar, boundedTar(ask), () => undefined)
    }
    await services.options.sendData(askId, make, signal)
    return { exists: true }
  } catch (error) {
    const { code = 'internal', hint } = error as Partial<ErrandError>
    return { exists: true, error: { code, message: messageOf(error), hint } }
  }
}

function none({ what, bot_id }: DataAsk): DataAnswer {
  if (what !== 'export') return { exists: false }
  const message = `This runner has no data of bot "${bot_id}".`
  return { exists: false, error: { code: 'not_found', message } }
}
