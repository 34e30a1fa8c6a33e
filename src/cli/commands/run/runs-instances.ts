import type { StepOverview } from '../../../contract/runs/run-parts.ts'
import { StepStatus } from '../../../contract/status.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions, oneOf } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { instanceName } from '../../render/run-rows.ts'
import { usageCells, whyText } from '../../render/summary.ts'
import { durationText, numberText } from '../../render/table.ts'

const phases = ['main', 'rollback', 'finally'] as const

export const runsInstances = command({
  summary: 'List the instances of a step of a run by page, failed ones first; or show an overview of all.',
  args: '<id> <step>',
  options: {
    overview: {
      type: 'boolean',
      help: 'Instead of a list: the number of instances of each status, and how long they took',
    },
    status: { type: 'string', value: 'STATUS', help: 'Only instances with this status; several with commas' },
    text: {
      type: 'string',
      value: 'TEXT',
      help: 'Only instances with this text in their host, item or message',
    },
    host: { type: 'string', value: 'NAME', help: 'Only instances on this host' },
    phase: { type: 'string', value: 'PHASE', help: 'main, rollback or finally; default: main' },
    limit: { type: 'string', value: 'N', help: 'Most instances to list, up to 500; default: 50' },
    cursor: { type: 'string', value: 'CURSOR', help: 'Continue after an earlier page' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand runs instances run_0123 build --status failed',
    'errand runs instances run_0123 build --overview',
  ],
  async run({ overview, status, text, host, phase: of, limit = '50', cursor, json, ...hub }, [id, step]) {
    if (!/^[1-9]\d{0,2}$/.test(limit) || Number(limit) > 500)
      throw new UsageError(`--limit is "${limit}"`, 'use a number from 1 to 500')
    const phase = oneOf('--phase', of, phases)
    const { runs } = connect(hub)
    if (overview) {
      const answer = await runs.overview(id!, step!, { phase })
      if (json) printJson(answer)
      else
        printTable(
          ['STATUS', 'COUNT', 'MEDIAN', 'LONGEST', 'SINCE'],
          overviewRows(answer),
          'The step has no instances.',
        )
      return 0
    }
    const page = await runs.instances(id!, step!, { phase, status, text, host, cursor, limit: Number(limit) })
    if (json) {
      printJson(page)
      return 0
    }
    const rows = page.instances.map((one) => [
      String(one.index),
      instanceName(one.host, one.vars),
      one.status,
      one.duration_ms === undefined ? '' : durationText(one.duration_ms),
      ...usageCells(one.attempts),
      one.waiting ?? whyText({ ...one, exitCode: one.exit_code }),
    ])
    const none = page.total === 0 ? 'The step has no instances.' : 'No instances match.'
    printTable(['INDEX', 'HOST', 'STATUS', 'TIME', 'MEMORY', 'CPU', 'WHY'], rows, none)
    if (page.next_cursor !== undefined) process.stdout.write(`More: --cursor ${page.next_cursor}\n`)
    return 0
  },
})

/** Returns a row for each status that instances have, failures first. */
export function overviewRows({ by_status }: Pick<StepOverview, 'by_status'>): string[][] {
  const time = (ms: number | undefined) => (ms === undefined ? '' : durationText(ms))
  const worst = ['failed', 'interrupted'] as const
  const order = [...worst, ...StepStatus.options.filter((status) => !worst.some((one) => one === status))]
  return order.flatMap((status) => {
    const of = by_status[status]
    if (of === undefined) return []
    return [[status, numberText(of.count), time(of.median_ms), time(of.longest_ms), of.began_at ?? '']]
  })
}
