import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ErrandClient } from '../../../client/client.ts'
import type { BotQuery } from '../../../contract/bots/bot-api.ts'
import { sizeText } from '../../../platform/text.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { botOwnerOption } from './bot-status.ts'

const actions = ['list', 'export', 'remove'] as const

export const botData = command({
  summary: 'List the data of bots, export the data of one as a tar, or remove it for good.',
  args: '<list|export|remove> [id]',
  options: {
    output: {
      type: 'string',
      short: 'o',
      value: 'FILE|-',
      help: 'export: file to write (default: ID.tar; - for standard output)',
    },
    force: {
      type: 'boolean',
      help: 'remove: stop the bot first, and forget data whose runner is away',
    },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand bot data list',
    'errand bot data export echo -o echo.tar',
    'errand bot data export echo -o - | tar -tv',
    'errand bot data remove echo',
  ],
  async run({ output, force, owner, json, ...hub }, [action, id]) {
    if (!actions.some((each) => each === action))
      throw new UsageError(`unknown action "${action}"`, `use one of ${actions.join(', ')}`)
    if ((action === 'list') !== (id === undefined))
      throw new UsageError(
        `"errand bot data ${action}" ${action === 'list' ? 'takes no bot' : 'needs the id of a bot'}`,
      )
    for (const [option, of, value] of [
      ['output', 'export', output],
      ['force', 'remove', force],
    ] as const)
      if (value !== undefined && action !== of)
        throw new UsageError(`--${option} works only with "errand bot data ${of}"`)
    const client = connect(hub)
    if (action === 'list') await list(client, { owner }, json)
    else if (action === 'export') {
      const bytes = await exported(client, id!, { owner }, output ?? `${id}.tar`)
      if (json && output !== '-') printJson({ bot_id: id, file: output ?? `${id}.tar`, bytes })
      else process.stderr.write(`Exported the data of ${id}: a tar of ${sizeText(bytes)}.\n`)
    } else {
      await client.bots.removeData(id!, { owner, force })
      if (json) printJson({ bot_id: id, removed: true })
      else process.stdout.write(`The data of ${id} is removed.\n`)
    }
    return 0
  },
})

async function list(client: ErrandClient, of: BotQuery, json: boolean | undefined): Promise<void> {
  const answer = await client.bots.listData(of)
  if (json) return printJson(answer)
  const owners = new Set(answer.data.map(({ owner }) => owner)).size > 1
  printTable(
    ['BOT', ...(owners ? ['OWNER'] : []), 'SIZE', 'LIMIT', 'PATH', 'RUNNER', 'IN USE'],
    answer.data.map(({ bot_id, owner, bytes, limit_bytes, path, runner = '', in_use }) => [
      bot_id,
      ...(owners ? [owner] : []),
      bytes === undefined ? 'unknown' : sizeText(bytes),
      sizeText(limit_bytes),
      path,
      runner,
      in_use ? 'yes' : '',
    ]),
    'No bot has data. Give a bot a data folder with: errand bot start ID --data ...',
  )
}

/** Exports into a file that gets its name only once it is complete. Returns its size in bytes. */
async function exported(client: ErrandClient, id: string, of: BotQuery, to: string): Promise<number> {
  const tar = Readable.fromWeb(
    (await client.bots.exportData(id, of)) as Parameters<typeof Readable.fromWeb>[0],
  )
  let bytes = 0
  tar.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
  })
  if (to === '-') {
    await pipeline(tar, process.stdout, { end: false })
    return bytes
  }
  const part = `${to}.part`
  try {
    await pipeline(tar, createWriteStream(part, { mode: 0o600 }))
    await rename(part, to)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
  return bytes
}
