import { botOwnerOption } from './bot-status.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson } from './print.ts'

export const botStop = command({
  summary: 'Stop a bot, and wait until it has ended.',
  args: '<id>',
  options: {
    detach: { type: 'boolean', short: 'd', help: 'Do not wait' },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot stop echo'],
  async run({ detach, owner, json, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id, update } = await client.bots.stop(id!, { owner })
    if (!detach)
      for (const run of [run_id, ...(update === undefined ? [] : [update.run_id])])
        for await (const _event of client.events(run, { reached: true, outputBytes: 0 }));
    const bot = await client.bots.get(id!, { owner })
    if (json) printJson(bot)
    else process.stdout.write(detach ? `${id} is being stopped.\n` : `${id} is ${bot.state}.\n`)
    return 0
  },
})
