import type { RunView, StepView } from '../../../contract/run.ts'
import { isFinalRun } from '../../../contract/status.ts'
import { command } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { instanceName } from '../../render/run-rows.ts'
import {
  boxesText,
  countsText,
  holdersText,
  isFolded,
  named,
  stepName,
  takenSecretsText,
  usageCells,
  waitedText,
  whyOf,
  whyText,
  withoutEmpty,
  workedText,
} from '../../render/summary.ts'
import { durationText, numberText } from '../../render/table.ts'
import { lineText } from '../../render/terminal-text.ts'

export const runsShow = command({
  summary: 'Show a run and its steps.',
  args: '<id>',
  options: {
    all: { type: 'boolean', help: 'Also on-demand steps that were not needed' },
    verbose: { type: 'boolean', help: 'Show a row for each instance of a step, however many there are' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand runs show run_0123', 'errand runs show run_0123 --verbose'],
  async run({ all = false, verbose = false, json, ...hub }, [id]) {
    const run = await connect(hub).runs.get(id!)
    if (json) {
      printJson(run)
      return 0
    }
    const waited = waitedText(run)
    const times = [workedText(run), waited && `waited ${waited}`]
    const head = [run.run_id, run.workflow_name, run.status, ...times, whyOf(run)]
    const line = head.filter((text) => text !== '').join('  ')
    process.stdout.write(`${lineText(line)}\n${chainText(run)}${rollbackText(run)}\n`)
    printTable(
      ...withoutEmpty(
        'WAITED',
        ['STEP', 'HOST', 'STATUS', 'TIME', 'WAITED', 'MEMORY', 'CPU', 'WHY'],
        stepRows(all ? run.steps : run.steps.filter(isShown), verbose),
      ),
      'No step has started.',
    )
    if (run.steps.some(({ instances }) => isFolded(instances.length, verbose)))
      process.stdout.write(`For a row per instance: errand runs show ${lineText(run.run_id)} --verbose\n`)
    process.stdout.write(approvalsText(run))
    const attempts = run.steps.flatMap(({ instances }) => instances.flatMap((one) => one.attempts))
    process.stdout.write(holdersText(attempts) + boxesText(run.steps) + takenSecretsText(run.steps))
    return 0
  },
})

/** Returns a line for each approval: who may answer it and until when, or who answered it with which comment. */
export function approvalsText({ run_id, steps }: Pick<RunView, 'run_id' | 'steps'>): string {
  const lines = steps.flatMap(({ step, approval, answered }) => {
    if (approval !== undefined) {
      const { users = [], roles = [], requester } = approval.approvers ?? {}
      const named = [...users, ...roles.map((role) => `any ${role}`)]
      const may = [
        ...(named.length > 0 ? named : approval.approvers === undefined ? [] : ['any admin']),
        ...(requester === false ? ['but not the owner of the run'] : []),
      ]
      const { expires_at, on_timeout = 'reject' } = approval
      const late = on_timeout === 'approve' ? 'approved' : 'rejected'
      return [
        `"${step}" waits for an answer${may.length > 0 ? `, by: ${may.join(', ')}` : ''}${expires_at === undefined ? '' : `; automatically ${late} at ${expires_at}`}. Answer with: errand approve ${run_id} ${step}`,
      ]
    }
    if (answered === undefined) return []
    const { decision, by, at, comment } = answered
    const done = decision === 'approve' ? 'approved' : 'rejected'
    const who =
      by === 'timeout' ? ' automatically because nobody answered' : by === undefined ? '' : ` by ${by}`
    return [`"${step}" was ${done}${who}, ${at}${comment ? `: ${comment}` : ''}`]
  })
  return lines.map((line) => `${lineText(line)}\n`).join('')
}
/** Reports whether a step is shown: an on-demand step is not while it does not run. */
const isShown = ({ on_demand, status }: StepView): boolean =>
  !on_demand || !['queued', 'skipped'].includes(status)

/** Returns a row for each instance. A step with many has a row for the first that failed, and one for all together. */
export function stepRows(steps: readonly StepView[], verbose: boolean): string[][] {
  return steps.flatMap((step) => {
    const { instances, approval, waiting } = step
    const times = [workedText(step), waitedText(step)]
    if (instances.length === 0)
      return [[stepName(step), '', step.status, ...times, '', '', approval?.message ?? whyText(step)]]
    const rows = named(instances, verbose).map((one) => {
      const question = one.status === 'waiting' ? approval?.message : undefined
      return [
        stepName(step),
        instanceName(one.host, one.vars),
        one.status,
        one.duration_ms === undefined ? '' : durationText(one.duration_ms),
        waitedText(one),
        ...usageCells(one.attempts),
        one.waiting ?? question ?? whyText({ ...one, exitCode: one.exit_code }),
      ]
    })
    if (!isFolded(instances.length, verbose)) return rows
    const question = instances.some(({ status }) => status === 'waiting') ? approval?.message : undefined
    const why = [countsText(instances), waiting ?? question].filter((text) => text !== undefined).join('; ')
    return [
      ...rows,
      [stepName(step), `${numberText(instances.length)} instances`, step.status, ...times, '', '', why],
    ]
  })
}

/** Returns the run's place in its chain of tries; empty if it is the only try. */
function chainText({ run_id, try: number, tries, chain = [] }: RunView): string {
  if (number === undefined || chain.length === 0) return ''
  const others = chain.filter((one) => one.run_id !== run_id).slice(-10)
  const listed = others.map((one) => `${lineText(one.run_id)} ${one.status}`).join(', ')
  return `attempt ${number} of ${tries}; others: ${listed}\n`
}

/** Returns whether the run is rolled back, and by which run. */
function rollbackText({ rollback }: Pick<RunView, 'rollback'>): string {
  if (rollback === undefined) return ''
  const { status } = rollback
  const run_id = lineText(rollback.run_id)
  if (status === 'success') return `rolled back by ${run_id}\n`
  return isFinalRun(status) ? `its rollback ${run_id} ended ${status}\n` : `being rolled back by ${run_id}\n`
}
