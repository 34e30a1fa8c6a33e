import type { StartBotInput } from '../contract/bot-api.ts'
import { untilUp } from './bot-progress.ts'
import { botRequest, botRequestOptions } from './bot-request.ts'
import { command, UsageError } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson } from './print.ts'
import { lineText } from './render/terminal-text.ts'

export const botStart = command({
  summary:
    'Start a bot: from source texts, from a folder or Git repository with a Dockerfile, or from an image.',
  args: '<id> [more.py...]',
  options: {
    ...botRequestOptions,
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until it runs' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand bot start echo --simple bot.py -r "aiogram>=3.0" -e BOT_TOKEN',
    'errand bot start shop --simple bot.py texts.py --entrypoint bot.py -e BOT_TOKEN=@token.txt',
    'errand bot start site --custom ./project/',
    'errand bot start site --custom https://github.com/user/bot.git --ref main',
    'errand bot start news --image ghcr.io/user/bot:v1 -e BOT_TOKEN --restart on-failure',
  ],
  async run({ detach, json, url, token, ...given }, [id, ...more]) {
    if (given.simple === undefined && given.custom === undefined && given.image === undefined)
      throw new UsageError('the bot has no source', 'give --simple FILE, --custom DIR|URL or --image IMAGE')
    const client = connect({ url, token })
    const request = (await botRequest(client, given, more)) as Omit<StartBotInput, 'bot_id'>
    const bot = await client.bots.start({ bot_id: id!, ...request })
    for (const warning of bot.warnings) process.stderr.write(`warning: ${lineText(warning)}\n`)
    const code = detach ? 0 : await untilUp(client, bot)
    if (json) printJson(detach ? bot : await client.bots.get(id!))
    else if (code === 0)
      process.stdout.write(`${id} ${detach ? 'is starting' : 'is running'} (${bot.run_id})\n`)
    return code
  },
})
