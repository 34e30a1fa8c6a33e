import { untilUp } from './bot-progress.ts'
import { botOwnerOption } from './bot-status.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson } from './print.ts'

export const botRestart = command({
  summary: 'Stop a bot, then start it as it was, with the same variables.',
  args: '<id>',
  options: {
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until it runs' },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot restart echo'],
  async run({ detach, owner, json, ...hub }, [id]) {
    const client = connect(hub)
    const bot = await client.bots.restart(id!, { owner })
    const code = detach ? 0 : await untilUp(client, bot, { owner })
    if (json) printJson(detach ? bot : await client.bots.get(id!, { owner }))
    else if (code === 0)
      process.stdout.write(`${id} ${detach ? 'is starting' : 'is running'} again (${bot.run_id})\n`)
    return code
  },
})
