import type { ErrandClient } from '../../../client/client.ts'
import type { RetryPlan, RetryRun, RetryStep } from '../../../contract/runs/retry.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { follow } from '../../follow/follow.ts'
import { CHILDREN_AT_ONCE } from '../../follow/run-family.ts'
import { hubOptions } from '../../option-values.ts'
import { printJson, printTable } from '../../print.ts'
import { instanceName } from '../../render/run-rows.ts'
import { numberText } from '../../render/table.ts'
import { lineText } from '../../render/terminal-text.ts'
import { bulkOptions, changeRuns, onlyOne } from './runs-bulk.ts'

export const followOption = {
  follow: { type: 'boolean', short: 'f', help: 'Follow the run until it ends; Ctrl-C cancels it' },
  json: { type: 'boolean', help: 'Print JSON: the id, or with --follow one event per line' },
} as const

const many = { type: 'string', multiple: true } as const

export const runsRetry = command({
  summary: 'Retry a run as a new run: all of it, what failed, from a step onward, or one step.',
  args: '[id]',
  options: {
    failed: { type: 'boolean', help: 'Run only what did not succeed; take over the other results' },
    from: {
      type: 'string',
      value: 'STEP',
      help: 'Run this step and all that follow; take over earlier results',
    },
    step: {
      type: 'string',
      value: 'STEP',
      help: 'Run only this step, and the steps that need it and did not succeed',
    },
    host: { ...many, value: 'HOST', help: 'With --step: only on this host' },
    instance: { ...many, value: 'N', help: 'With --step: only this instance, counted from 0' },
    'run-anyway': { ...many, value: 'STEP', help: 'Run this step although its when is false' },
    skip: { ...many, value: 'STEP', help: 'Skip this step; steps that need it run anyway' },
    'dry-run': { type: 'boolean', help: 'Only print what would run again and which results would be reused' },
    ...bulkOptions,
    ...followOption,
    ...hubOptions,
  },
  examples: [
    'errand runs retry --failed --filter "since:24h" --yes',
    'errand runs retry run_0123 --failed',
    'errand runs retry run_0123 --from build --dry-run',
    'errand runs retry run_0123 --step deploy --host eu-2',
    "errand runs retry run_0123 --from 'release > publish' --skip notify",
  ],
  async run(options, [id]) {
    const { failed, from, step, host, instance, 'run-anyway': run_anyway, skip, ...rest } = options
    const { 'dry-run': dryRun, follow: wait, json, filter, yes, ...hub } = rest
    const retry: RetryRun = {
      only: failed ? 'failed' : undefined,
      from,
      step,
      hosts: host,
      instances: instance?.map(positionOf),
      run_anyway,
      skip,
    }
    const client = connect(hub)
    const words = onlyOne(id, filter)
    if (words !== undefined) {
      if (from ?? step ?? host ?? instance ?? run_anyway ?? skip ?? dryRun ?? wait)
        throw new UsageError('--filter works only with --failed', 'name one run to retry a part of it')
      return await changeRuns(
        client,
        { action: 'retry', words, only: failed ? 'failed' : 'all' },
        { yes, json },
      )
    }
    if (dryRun) {
      const plan = await client.runs.retryPlan(id!, retry)
      if (json) printJson(plan)
      else printPlan(plan)
      return exitCodes.success
    }
    const { run_id } = await client.runs.retry(id!, retry)
    return await begun(client, run_id, { follow: wait, json })
  },
})

function positionOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new UsageError(`--instance is "${text}"`, 'use the position of an instance, a number from 0')
}

function printPlan(plan: RetryPlan): void {
  const { steps, cli, try: number } = plan
  printTable(
    ['STEP', 'RUNS', 'TAKEN OVER', 'STAYS', 'SKIPPED', 'WHERE'],
    steps.map((step) => [
      lineText(step.phase === 'main' ? step.step : `${step.step} (${step.phase})`),
      `${step.again === 0 ? '' : numberText(step.again)}${step.unknown ? '?' : ''}`,
      ...[step.taken_over, step.kept, step.skipped].map((count) => (count === 0 ? '' : numberText(count))),
      whereText(step),
    ]),
    'The run has no steps.',
  )
  const parts = [`${plan.again} run`, `${plan.taken_over} reused`]
  if (plan.kept > 0) parts.push(`${plan.kept} stay as they are`)
  if (plan.skipped > 0) parts.push(`${plan.skipped} skipped`)
  process.stdout.write(
    `attempt ${number}: ${parts.join(', ')}. Nothing was started.\nTo start it: ${lineText(cli)}\n`,
  )
}

/** Returns where a step runs; of many instances the first five. */
function whereText({ instances, again, conditional }: RetryStep): string {
  const running = instances.filter(({ does }) => does === 'again')
  const named = running.slice(0, 5).map(({ host, vars }) => instanceName(host, vars))
  const more = again > named.length ? [`and ${numberText(again - named.length)} more`] : []
  const when = conditional ? ['if its condition holds'] : []
  return lineText([...named, ...more, ...when].join(', '))
}

/** Prints the id of a run that was started on a hub, and follows the run if asked to. Resolves to the exit code. */
export async function begun(
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
