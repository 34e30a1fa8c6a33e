import { type CommandGroup, command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'

const list = command({
  summary: 'List the runners of a hub.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runners list'],
  async run({ json, ...hub }) {
    const all = await connect(hub).runners.list()
    if (json) printJson(all)
    else {
      const rows = all.map((one) => [
        one.id,
        one.group,
        one.status,
        one.hostname,
        String(one.cpus),
        one.memory,
        `${one.running}/${one.slots}`,
        Object.entries(one.labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(' '),
      ])
      printTable(
        ['ID', 'GROUP', 'STATUS', 'HOST', 'CPUS', 'MEMORY', 'BUSY', 'LABELS'],
        rows,
        'No runner has connected yet.',
      )
    }
    return 0
  },
})

const drain = command({
  summary: 'Let a runner finish what it has and take nothing new.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand runners drain server-01'],
  async run(hub, [id]) {
    await connect(hub).runners.drain(id!)
    process.stdout.write(`${id} takes nothing new.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Forget a runner that is gone.',
  args: '<id>',
  options: hubOptions,
  examples: ['errand runners remove server-01'],
  async run(hub, [id]) {
    await connect(hub).runners.remove(id!)
    process.stdout.write(`${id} is forgotten.\n`)
    return 0
  },
})

export const runners: CommandGroup = {
  summary: 'Look at and control the runners of a hub.',
  commands: { list, drain, remove },
}
