import type { ErrandClient } from '../client/client.ts'
import { type CommandGroup, command, UsageError } from './command.ts'
import { connect } from './connection.ts'
import { exitCodes } from './exit-codes.ts'
import { follow } from './follow.ts'
import { hubOptions } from './hub-options.ts'
import { momentOf } from './moment-option.ts'
import { jsonOption, printJson, printTable } from './print.ts'
import { between, whyText } from './render/summary.ts'
import { durationText } from './render/units.ts'
import { holdersText, usageCells } from './render/usage.ts'
import { runLogs } from './run-logs.ts'

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > 500)
    throw new UsageError(`--limit is "${text}"`, 'it is a number from 1 to 500; --cursor goes on')
  return limit
}

const list = command({
  summary: 'List runs, newest first.',
  options: {
    status: { type: 'string', value: 'LIST', help: 'Only these, such as running,failed' },
    workflow: { type: 'string', value: 'NAME', help: 'Only runs of this workflow' },
    blueprint: { type: 'string', value: 'NAME', help: 'Only runs of this blueprint: workflow, agent or bot' },
    owner: { type: 'string', value: 'NAME', help: 'Only runs of this user' },
    since: {
      type: 'string',
      value: 'TIME',
      help: 'Only runs created since, such as 2026-01-31 or 12h (ago)',
    },
    until: { type: 'string', value: 'TIME', help: 'Only runs created before that' },
    limit: { type: 'string', value: 'N', help: 'How many (default 50, at most 500)' },
    cursor: { type: 'string', value: 'CURSOR', help: 'Go on after an earlier list' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runs list', 'errand runs list --status failed --since 7d --limit 10'],
  async run({ status, workflow, blueprint, owner, since, until, limit, cursor, json, ...hub }) {
    const page = await connect(hub).runs.list({
      status,
      workflow_name: workflow,
      blueprint,
      owner,
      created_after: momentOf('--since', since),
      created_before: momentOf('--until', until),
      limit: limitOf(limit),
      cursor,
    })
    if (json) printJson(page)
    else {
      const rows = page.runs.map((run) => [
        run.run_id,
        run.workflow_name,
        run.status,
        run.created_at,
        between(run.started_at, run.finished_at),
        run.waiting ?? whyText(run),
      ])
      const narrowed = [status, workflow, blueprint, owner, since, until].some((each) => each !== undefined)
      printTable(
        ['ID', 'WORKFLOW', 'STATUS', 'CREATED', 'TIME', 'WHY'],
        rows,
        narrowed ? 'No run is like that.' : 'There are no runs.',
      )
      if (page.next_cursor !== undefined)
        process.stdout.write(`More: errand runs list --cursor ${page.next_cursor}\n`)
    }
    return 0
  },
})

const show = command({
  summary: 'Show a run and its steps.',
  args: '<id>',
  options: { ...hubOptions, ...jsonOption },
  examples: ['errand runs show run_0123'],
  async run({ json, ...hub }, [id]) {
    const run = await connect(hub).runs.get(id!)
    if (json) {
      printJson(run)
      return 0
    }
    const rows = run.steps.flatMap((step) => {
      const name = step.phase === 'main' ? step.step : `${step.step} (${step.phase})`
      if (step.instances.length === 0) {
        return [
          [
            name,
            '',
            step.status,
            between(step.started_at, step.finished_at),
            '',
            '',
            step.approval?.message ?? whyText(step),
          ],
        ]
      }
      return step.instances.map((one) => {
        const asked = one.status === 'waiting' ? step.approval?.message : undefined
        const took = one.duration_ms === undefined ? '' : durationText(one.duration_ms)
        return [
          name,
          one.host,
          one.status,
          took,
          ...usageCells(one.attempts),
          one.waiting ?? asked ?? whyText({ ...one, exitCode: one.exit_code }),
        ]
      })
    })
    process.stdout.write(
      `${run.run_id}  ${run.workflow_name}  ${run.status}  ${between(run.started_at, run.finished_at)}\n\n`,
    )
    printTable(['STEP', 'HOST', 'STATUS', 'TIME', 'MEMORY', 'CPU', 'WHY'], rows, 'No step has begun.')
    const attempts = run.steps.flatMap(({ instances }) => instances.flatMap((one) => one.attempts))
    process.stdout.write(holdersText(attempts))
    return 0
  },
})

const events = command({
  summary: 'Print the events of a run as JSON, one a line, as they come until it ends.',
  args: '<id>',
  options: { after: { type: 'string', value: 'SEQ', help: 'Only events after this one' }, ...hubOptions },
  examples: ['errand runs events run_0123'],
  async run({ after = '0', ...hub }, [id]) {
    if (!/^\d+$/.test(after))
      throw new UsageError(`--after is "${after}"`, 'it is the seq of an event: a number from 0')
    for await (const event of connect(hub).events(id!, { after: Number(after) })) {
      process.stdout.write(`${JSON.stringify(event)}\n`)
    }
    return 0
  },
})

const cancel = command({
  summary: 'Cancel a run.',
  args: '<id>',
  options: {
    force: { type: 'boolean', help: 'Also end its finally steps' },
    message: { type: 'string', short: 'm', value: 'TEXT', help: 'Kept with the run' },
    ...hubOptions,
  },
  examples: ['errand runs cancel run_0123'],
  async run({ force, message, ...hub }, [id]) {
    await connect(hub).runs.cancel(id!, { force, message })
    process.stdout.write(`${id} is being canceled.\n`)
    return 0
  },
})

const remove = command({
  summary: 'Delete runs that have ended, with their output and the runs they have started.',
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

const followOption = {
  follow: { type: 'boolean', short: 'f', help: 'Show it until it ends; Ctrl-C cancels it' },
} as const

async function begun(client: ErrandClient, runId: string, wait: boolean): Promise<number> {
  process.stdout.write(`${runId}\n`)
  if (!wait) return exitCodes.success
  const run = {
    runId,
    events: client.events(runId),
    childEvents: (id: string) => client.events(id),
    cancel: async (force: boolean) => void (await client.runs.cancel(runId, { force })),
    view: () => client.runs.get(runId),
  }
  return await follow(run, {
    json: false,
    maxBytes: () => Infinity,
    wholeOutput: () => '',
    answerHint: (step) => `answer with: errand approve ${runId} "${step}"`,
  })
}

const retry = command({
  summary: 'Run it again, as a new run.',
  args: '<id>',
  options: {
    failed: { type: 'boolean', help: 'Only what did not succeed; the rest is taken over' },
    ...followOption,
    ...hubOptions,
  },
  examples: ['errand runs retry run_0123 --failed'],
  async run({ failed, follow: wait, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id } = await client.runs.retry(id!, { only: failed ? 'failed' : 'all' })
    return await begun(client, run_id, wait ?? false)
  },
})

const rollback = command({
  summary: 'Undo what succeeded, in reverse, as a new run.',
  args: '<id>',
  options: { ...followOption, ...hubOptions },
  examples: ['errand runs rollback run_0123'],
  async run({ follow: wait, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id } = await client.runs.rollback(id!)
    return await begun(client, run_id, wait ?? false)
  },
})

export const runs: CommandGroup = {
  summary: 'Look at and control the runs of a hub.',
  commands: { list, show, events, logs: runLogs, cancel, retry, rollback, delete: remove },
}
