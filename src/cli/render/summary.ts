import type { StepStatus } from '../../contract/status.ts'
import type { Color, Paint } from './palette.ts'
import type { Row } from './run-rows.ts'
import { table } from './table.ts'
import { lineText } from './terminal-text.ts'
import { durationText, numberText } from './units.ts'

export const statusColor: Readonly<Record<StepStatus, Color>> = {
  queued: 'dim',
  running: 'cyan',
  waiting: 'yellow',
  success: 'green',
  failed: 'red',
  canceled: 'yellow',
  interrupted: 'red',
  skipped: 'dim',
}

/** Instances of a step that have a row each; where there are more, they share one. */
const MOST_ROWS = 20
/** Instances of such a step that are named because they have failed. */
export const MOST_NAMED = 10

/** Why something did not succeed, in one line: `exit code 3`, `timeout: ...`, `condition`. */
export function whyText(of: { reason?: string; message?: string; exitCode?: number }): string {
  const message = of.message?.split('\n')[0]
  if (of.reason === 'exit_code')
    return of.exitCode === undefined ? (message ?? 'exit code') : `exit code ${of.exitCode}`
  const reason = of.reason?.replaceAll('_', ' ')
  if (reason === undefined || message === undefined) return reason ?? message ?? ''
  // `rejected by ann` and `Variable "X" is not set` say it themselves.
  const said = message.toLowerCase().startsWith(reason.split(' ').at(-1)!)
  return said ? message : `${reason}: ${message}`
}

export const between = (start: string | undefined, end: string | undefined): string =>
  start === undefined || end === undefined ? '' : durationText(Date.parse(end) - Date.parse(start))

/** `build`, `build (rollback)`. */
export const stepName = ({ step, phase }: Pick<Row, 'step' | 'phase'>): string =>
  phase === 'main' ? step : `${step} (${phase})`

export const isFailure = (status: StepStatus): boolean => status === 'failed' || status === 'interrupted'

/** Whether so many instances of a step are shown as one. */
export const isFolded = (instances: number, verbose = false): boolean => !verbose && instances > MOST_ROWS

type HasStatus = Pick<Row, 'status'>

/** `9,990 succeeded, 10 failed`. */
export function countsText(instances: readonly HasStatus[]): string {
  const order: StepStatus[] = [
    'success',
    'failed',
    'interrupted',
    'canceled',
    'skipped',
    'running',
    'waiting',
  ]
  return [...order, 'queued' as const]
    .map((status) => [status, instances.filter((one) => one.status === status).length] as const)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${numberText(count)} ${status === 'success' ? 'succeeded' : status}`)
    .join(', ')
}

/** The instances of a step that have a row of their own: where they are many, the first that have failed. */
export function named<T extends HasStatus>(instances: readonly T[], verbose = false): readonly T[] {
  if (!isFolded(instances.length, verbose)) return instances
  return instances.filter(({ status }) => isFailure(status)).slice(0, MOST_NAMED)
}

export interface SummaryOptions {
  paint: Paint
  verbose?: boolean
  /** How a person sees a row for each instance. */
  allRows: string
}

/** The table at the end of a run, failures first. Why something failed is told where it did, so that the reason will do. */
export function summary(rows: readonly Row[], { paint, verbose, allRows }: SummaryOptions): string {
  const steps = Map.groupBy(rows, (row) => `${row.phase} ${row.step}`)
  let left = false
  const lines = [...steps.values()].flatMap((instances) => {
    const own = named(instances, verbose).map((row) => ({ ...row, why: rowWhy(row) }))
    if (!isFolded(instances.length, verbose)) return own
    left = true
    return [...own, together(instances)]
  })
  const sorted = [
    ...lines.filter(({ status }) => isFailure(status)),
    ...lines.filter(({ status }) => !isFailure(status)),
  ]
  const cells = sorted.map((row) => [
    lineText(stepName(row)),
    lineText(row.host),
    row.status,
    between(row.startedAt, row.finishedAt),
    lineText(row.why),
  ])
  const text = table(['STEP', 'HOST', 'STATUS', 'TIME', 'WHY'], cells, (row, column, cell) => {
    if (row < 0) return paint('dim', cell)
    return column === 2 ? paint(statusColor[sorted[row]!.status], cell) : cell
  })
  return left ? `${text}${paint('dim', `A row for each: ${lineText(allRows)}`)}\n` : text
}

function rowWhy({ tries, reason, message, exitCode }: Row): string {
  const why = reason === undefined ? message : whyText({ reason, exitCode })
  return [tries > 1 ? `${tries} tries` : '', why ?? ''].filter((text) => text !== '').join('; ')
}

/** The row of many instances of a step. */
function together(instances: readonly Row[]): Row & { why: string } {
  const worst = (['failed', 'interrupted', 'canceled', 'success'] as const).find((status) =>
    instances.some((one) => one.status === status),
  )
  const first = instances[0]!
  return {
    ...first,
    startedAt: instances.flatMap((one) => one.startedAt ?? []).sort()[0],
    finishedAt: instances
      .flatMap((one) => one.finishedAt ?? [])
      .sort()
      .at(-1),
    host: `${numberText(instances.length)} instances`,
    status: worst ?? first.status,
    why: countsText(instances),
  }
}
