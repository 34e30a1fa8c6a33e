import { type CommandGroup, command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { JsonLines } from '../../follow/json-lines.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson } from '../../print.ts'
import { runsArtifacts } from './runs-artifacts.ts'
import { bulkOptions, changeRuns, onlyOne } from './runs-bulk.ts'
import { runsDiff } from './runs-diff.ts'
import { runsInstances } from './runs-instances.ts'
import { runsList } from './runs-list.ts'
import { runsLogs } from './runs-logs.ts'
import { begun, followOption, runsRetry } from './runs-retry.ts'
import { runsShow } from './runs-show.ts'

const events = command({
  summary: 'Print the events of a run as JSON, one per line, until the run ends.',
  args: '<id>',
  options: { after: { type: 'string', value: 'SEQ', help: 'Only events after this one' }, ...hubOptions },
  examples: ['errand runs events run_0123'],
  async run({ after = '0', ...hub }, [id]) {
    if (!/^\d+$/.test(after))
      throw new UsageError(`--after is "${after}"`, 'use the seq of an event, a number from 0')
    const client = connect(hub)
    const lines = new JsonLines(id!)
    if (Number(after) > 0) lines.knows(await client.runs.get(id!))
    for await (const event of client.events(id!, { after: Number(after) }))
      process.stdout.write(lines.event(event, id!))
    return 0
  },
})

const cancel = command({
  summary: 'Cancel a run, or all runs that match a filter.',
  args: '[id]',
  options: {
    force: { type: 'boolean', help: 'Also end its finally steps' },
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'Message to store with the run' },
    ...bulkOptions,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runs cancel run_0123', 'errand runs cancel --filter "workflow:nightly since:7d"'],
  async run({ force, message, filter, yes, json, ...hub }, [id]) {
    const words = onlyOne(id, filter)
    if (words !== undefined) return await changeRuns(connect(hub), { action: 'cancel', words }, { yes, json })
    await connect(hub).runs.cancel(id!, { force, message })
    if (json) printJson({ run_id: id })
    else process.stdout.write(`${id} is being canceled.\n`)
    return 0
  },
})

const resume = command({
  summary: 'Resume runs that are set aside (admin).',
  args: '<id> [more...]',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runs resume run_0123'],
  async run({ json, ...hub }, ids) {
    const client = connect(hub)
    for (const id of ids) {
      const run = await client.runs.resume(id)
      if (json) printJson(run)
      else process.stdout.write(`${id} is resumed.\n`)
    }
    return 0
  },
})

const remove = command({
  summary: 'Delete runs that have ended, with their output and the runs that they started.',
  args: '<id> [more...]',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runs delete run_0123'],
  async run({ json, ...hub }, ids) {
    const client = connect(hub)
    const deleted: string[] = []
    for (const id of ids) {
      const answer = await client.runs.delete(id)
      deleted.push(...answer.deleted)
      if (!json) for (const gone of answer.deleted) process.stdout.write(`${gone} is deleted.\n`)
    }
    if (json) printJson({ deleted })
    return 0
  },
})

const runsRollback = command({
  summary: 'Roll back the steps that succeeded, in reverse order, as a new run.',
  args: '<id>',
  options: { ...followOption, ...hubOptions },
  examples: ['errand runs rollback run_0123'],
  async run({ follow, json, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id } = await client.runs.rollback(id!)
    return await begun(client, run_id, { follow, json })
  },
})

export const runs: CommandGroup = {
  summary: 'Show and control the runs of a hub.',
  commands: {
    list: runsList,
    show: runsShow,
    instances: runsInstances,
    events,
    logs: runsLogs,
    artifacts: runsArtifacts,
    diff: runsDiff,
    cancel,
    resume,
    retry: runsRetry,
    rollback: runsRollback,
    delete: remove,
  },
}
