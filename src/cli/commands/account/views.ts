import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'
import { viewNamed, viewWords, wordsOf } from '../run/view-words.ts'

const sharedOption = { shared: { type: 'boolean', help: 'For everyone in the tenant' } } as const

const list = command({
  summary: 'List saved filters of runs: yours and the shared ones.',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand views list'],
  async run({ json, ...hub }) {
    const { views } = await connect(hub).views.list()
    if (json) printJson(views)
    else
      printTable(
        ['ID', 'NAME', 'FOR', 'BY', 'FILTER'],
        views.map((one) => [one.id, one.name, one.shared ? 'all' : 'you', one.owner, wordsOf(one.filter)]),
        'There are no saved filters. Save one with: errand views save',
      )
    return 0
  },
})

const save = command({
  summary: 'Save a filter of runs under a name, for yourself or for everyone.',
  args: '<name> <words> [more...]',
  options: { ...sharedOption, ...hubOptions, ...jsonOption },
  examples: [
    'errand views save broken status:failed since:7d',
    'errand views save eu "input.region:eu" --shared',
  ],
  async run({ shared, json, ...hub }, [name, ...words]) {
    const view = await connect(hub).views.save({ name: name!, filter: viewWords(words.join(' ')), shared })
    if (json) printJson(view)
    else process.stdout.write(`${view.id}\n`)
    return 0
  },
})

const change = command({
  summary: 'Rename a view, or change its filter or who can see it.',
  args: '<view> [words...]',
  options: {
    name: { type: 'string', value: 'NAME', help: 'New name' },
    own: { type: 'boolean', help: 'For you only' },
    ...sharedOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand views change broken --name red', 'errand views change red status:failed --shared'],
  async run({ name, own, shared, json, ...hub }, [view, ...words]) {
    if (own && shared) throw new UsageError('--own and --shared cannot be combined', 'leave one out')
    if (name === undefined && !own && !shared && words.length === 0)
      throw new UsageError('there is nothing to change', 'give --name, --own, --shared, or words of a filter')
    const client = connect(hub)
    const changed = await client.views.change((await viewNamed(client, view!)).id, {
      ...(name !== undefined && { name }),
      ...((own || shared) && { shared: shared === true }),
      ...(words.length > 0 && { filter: viewWords(words.join(' ')) }),
    })
    if (json) printJson(changed)
    else process.stdout.write(`${lineText(changed.name)} is changed.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Delete a view. Only its owner and admins can delete a shared one.',
  args: '<view>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand views delete broken'],
  async run({ json, ...hub }, [view]) {
    const client = connect(hub)
    const { id, name } = await viewNamed(client, view!)
    await client.views.remove(id)
    if (json) printJson({ deleted: id })
    else process.stdout.write(`${lineText(name)} is deleted.\n`)
    return 0
  },
})

export const views: CommandGroup = {
  summary: 'Manage saved filters of runs.',
  commands: { list, save, change, delete: remove },
}
