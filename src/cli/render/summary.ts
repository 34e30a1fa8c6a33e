import type { StepStatus } from '../../contract/status.ts'
import type { Color, Paint } from './palette.ts'
import type { Row } from './run-rows.ts'
import { table } from './table.ts'
import { durationText } from './units.ts'

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

/** The table at the end of a run. */
export function summary(rows: readonly Row[], paint: Paint): string {
  const cells = rows.map((row) => [
    row.phase === 'main' ? row.step : `${row.step} (${row.phase})`,
    row.host,
    row.status,
    between(row.startedAt, row.finishedAt),
    [row.tries > 1 ? `${row.tries} tries` : '', whyText(row)].filter((text) => text !== '').join('; '),
  ])
  return table(['STEP', 'HOST', 'STATUS', 'TIME', 'WHY'], cells, (row, column, text) => {
    if (row < 0) return paint('dim', text)
    return column === 2 ? paint(statusColor[rows[row]!.status], text) : text
  })
}
