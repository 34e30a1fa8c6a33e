import type { ErrandClient } from '../client/client.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { exitCodes } from './exit-codes.ts'
import { follow } from './follow.ts'
import { hubOptions } from './hub-options.ts'
import { CHILDREN_AT_ONCE } from './run-family.ts'

const followOption = {
  follow: { type: 'boolean', short: 'f', help: 'Show it until it ends; Ctrl-C cancels it' },
  json: { type: 'boolean', help: 'Print JSON: the id, or with --follow one event a line' },
} as const

async function begun(
  client: ErrandClient,
  runId: string,
  { follow: wait, json = false }: { follow?: boolean; json?: boolean },
): Promise<number> {
  if (!json) process.stdout.write(`${runId}\n`)
  else if (!wait) process.stdout.write(`${JSON.stringify({ run_id: runId })}\n`)
  if (!wait) return exitCodes.success
  const run = {
    runId,
    events: (id: string) => client.events(id),
    childrenAtOnce: CHILDREN_AT_ONCE,
    cancel: async (force: boolean) => void (await client.runs.cancel(runId, { force })),
    view: () => client.runs.get(runId),
  }
  return await follow(run, {
    json,
    maxBytes: () => Infinity,
    wholeOutput: () => '',
    allRows: (id) => `errand runs show ${id} --verbose`,
    answerHint: (step, id) => `answer with: errand approve ${id} "${step}"`,
  })
}

export const runsRetry = command({
  summary: 'Run it again, as a new run.',
  args: '<id>',
  options: {
    failed: { type: 'boolean', help: 'Only what did not succeed; the rest is taken over' },
    ...followOption,
    ...hubOptions,
  },
  examples: ['errand runs retry run_0123 --failed'],
  async run({ failed, follow, json, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id } = await client.runs.retry(id!, { only: failed ? 'failed' : 'all' })
    return await begun(client, run_id, { follow, json })
  },
})

export const runsRollback = command({
  summary: 'Undo what succeeded, in reverse, as a new run.',
  args: '<id>',
  options: { ...followOption, ...hubOptions },
  examples: ['errand runs rollback run_0123'],
  async run({ follow, json, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id } = await client.runs.rollback(id!)
    return await begun(client, run_id, { follow, json })
  },
})
