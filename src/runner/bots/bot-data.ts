import { createHash } from 'node:crypto'
import { pipeline } from 'node:stream/promises'
import type { DataAnswer, DataAsk } from '../../contract/bot-data.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { BotServices } from './bot-services.ts'
import { hasEngineName } from './engine-name.ts'

/** Who has a place for data: its owner is tenant and owner, as one text. */
export interface DataOf {
  runner: string
  owner: string
  bot: string
}

/** Tenant and owner as they stand in labels. */
export const ownerText = ({ tenant, owner }: { tenant?: string; owner?: string }): string =>
  `${tenant ?? ''}/${owner ?? ''}`

/** The one volume of this runner for the data of that bot. */
export function dataVolume({ runner, owner, bot }: DataOf): string {
  const hash = createHash('sha256').update(JSON.stringify([runner, owner, bot]))
  return `errand-data-${hash.digest('hex').slice(0, 32)}`
}

/** Sends the tar to the hub, as the body of what it has asked for. */
export type SendData = (askId: string, tar: AsyncIterable<Uint8Array>, signal: AbortSignal) => Promise<void>

/** Does what the hub asks of the data of a bot, which may run meanwhile. Never rejects. */
export async function answerData(
  askId: string,
  ask: DataAsk,
  services: BotServices,
  signal: AbortSignal,
): Promise<DataAnswer> {
  try {
    // A runner that had no bot yet has none of its data, and need not have an engine.
    if (!hasEngineName(services.options.stateDir)) return none(ask)
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
    const tar = await engine.readVolume(name, { runner })
    await pipeline(tar, (chunks: AsyncIterable<Uint8Array>) =>
      services.options.sendData(askId, chunks, signal),
    )
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
