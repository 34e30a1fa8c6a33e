import { randomUUID } from 'node:crypto'
import type { BoxAsk } from '../../../contract/isolation.ts'
import { connect, whileAway } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { Approver } from '../../follow/approver.ts'
import { follow } from '../../follow/follow.ts'
import { CHILDREN_AT_ONCE } from '../../follow/run-family.ts'
import { variableValues } from '../../option-values.ts'
import { checkApproved, colorChoice, mostShownBytes, setOutputPath, shownBytes } from '../../run-options.ts'
import { checkedWorkflow, readSource, reportProblems } from '../../workflow-source.ts'

export interface HubRunOptions {
  var?: string[]
  'run-id'?: string
  repository?: string
  label?: string[]
  'output-path'?: string
  yes?: boolean
  approve?: string[]
  json?: boolean
  verbose?: boolean
  color?: string
  detach?: boolean
  /** Minimum box of its steps. */
  box: BoxAsk
  url?: string
  token?: string
}

/** Sends a workflow file to a hub and follows the run. Resolves to the exit code. */
export async function runOnHub(file: string, options: HubRunOptions): Promise<number> {
  const vars = variableValues('--var', options.var)
  const labels = options.label === undefined ? undefined : variableValues('--label', options.label)
  const color = colorChoice(options.color)
  const source = await readSource(file)
  const client = connect(options)
  try {
    const { 'output-path': folder, approve = [] } = options
    const checked = checkedWorkflow(source)
    checkApproved(approve, checked)
    const workflow = folder === undefined ? checked : setOutputPath(checked, folder)
    const { run_id: runId } = await client.runs.create(
      { workflow, run_id: options['run-id'], repository: options.repository, vars, labels, ...options.box },
      { idempotencyKey: randomUUID() },
    )
    if (options.detach) {
      process.stdout.write(options.json ? `${JSON.stringify({ run_id: runId })}\n` : `${runId}\n`)
      return 0
    }
    if (!options.json) process.stdout.write(`run ${runId} on ${client.url}\n`)
    const approver = new Approver({
      all: options.yes ?? false,
      steps: approve,
      ask: false,
      othersCan: true,
      answer: async ({ step, comment, decision }, of) =>
        void (await client.runs[decision](of, { step, comment })),
    })
    // Output that is not shown need not be sent here.
    const outputBytes = options.json ? undefined : mostShownBytes(workflow)
    const run = {
      runId,
      events: (id: string) => client.events(id, { reached: true, outputBytes }),
      childrenAtOnce: CHILDREN_AT_ONCE,
      cancel: async (force: boolean) => void (await whileAway(() => client.runs.cancel(runId, { force }))),
      view: () => client.runs.get(runId),
    }
    return await follow(run, {
      json: options.json ?? false,
      color,
      verbose: options.verbose,
      approver,
      maxBytes: shownBytes(workflow),
      wholeOutput: (attempt, stream, id) => `errand runs logs ${id} --attempt ${attempt} --stream ${stream}`,
      allRows: (id) => `errand runs show ${id} --verbose`,
      answerHint: (step, id) => `answer with: errand approve ${id} "${step}"`,
    })
  } catch (error) {
    if (reportProblems(error, source, options.json)) return exitCodes.usage
    throw error
  }
}
