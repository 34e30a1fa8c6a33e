import type { AttemptUsage } from '../../contract/attempt.ts'
import type { EventOf } from '../../contract/events.ts'
import { networkText, refusalText } from '../../contract/isolation.ts'
import type { RunSummary, StepView } from '../../contract/run.ts'
import { LEAST_WAIT_MS, type Timed, waitedBy, workOf } from '../../contract/runs/work-times.ts'
import type { StepStatus } from '../../contract/status.ts'
import type { Row } from './run-rows.ts'
import { bytesText, durationText, numberText, table } from './table.ts'
import { type Color, lineText, type Paint } from './terminal-text.ts'

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
/** Rows of the table at the end that succeeded; more than these share one row. */
const MOST_SUCCEEDED = 50

/** Returns why a run is where it is, in a few words. */
export function whyOf(run: Pick<RunSummary, 'set_aside' | 'waiting' | 'reason' | 'message'>): string {
  return run.set_aside ? `set aside: ${run.set_aside.why}` : (run.waiting ?? whyText(run))
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

/** Returns how long an ended run or step was worked on, such as `5.0 s`; empty while it goes on. */
export const workedText = (of: Timed): string =>
  of.started_at === undefined || of.finished_at === undefined ? '' : durationText(workOf(of, 0)!.workedMs)

/** Returns how long something waited while nothing of it was worked on, such as `10 m 00 s`; empty below a second. */
export function waitedText(of: Timed, nowMs = Date.now()): string {
  const waitedMs = waitedBy(of, nowMs)
  return waitedMs < LEAST_WAIT_MS ? '' : durationText(waitedMs)
}

/** The head and rows of a table without the column of this name where no row has a text in it. */
export function withoutEmpty(name: string, head: string[], rows: string[][]): [string[], string[][]] {
  const at = head.indexOf(name)
  if (rows.some((cells) => cells[at] !== '')) return [head, rows]
  return [head.toSpliced(at, 1), rows.map((cells) => cells.toSpliced(at, 1))]
}

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
  const succeeded = lines.filter(({ status }) => status === 'success')
  const isLong = !verbose && succeeded.length > MOST_SUCCEEDED
  const sorted: Line[] = [
    ...lines.filter(({ status }) => isFailure(status)),
    ...lines.filter(({ status }) => !isFailure(status) && !(isLong && status === 'success')),
    ...(isLong ? [allSucceeded(succeeded)] : []),
  ]
  const cells = sorted.map((row) => [
    lineText(row.name ?? stepName(row)),
    lineText(row.host),
    row.status,
    between(row.startedAt, row.finishedAt),
    lineText(row.why),
  ])
  const text = table(['STEP', 'HOST', 'STATUS', 'TIME', 'WHY'], cells, (row, column, cell) => {
    if (row < 0) return paint('dim', cell)
    return column === 2 ? paint(statusColor[sorted[row]!.status], cell) : cell
  })
  return left || isLong ? `${text}${paint('dim', `A row for each: ${lineText(allRows)}`)}\n` : text
}

function rowWhy({ tries, reason, message, exitCode }: Row): string {
  const why = reason === undefined ? message : whyText({ reason, exitCode })
  return [tries > 1 ? `${tries} tries` : '', why ?? ''].filter((text) => text !== '').join('; ')
}

interface Line extends Row {
  why: string
  /** Stands in the first column instead of the step. */
  name?: string
}

/** Returns the row that stands for all rows that succeeded, with the time from the first start to the last end. */
function allSucceeded(lines: readonly Line[]): Line {
  const tried = lines.filter(({ tries }) => tries > 1).length
  const steps = new Set(lines.map(stepName)).size
  return {
    ...lines[0]!,
    ...span(lines),
    name: `${numberText(steps)} steps${steps < lines.length ? ` (${numberText(lines.length)} instances)` : ''}`,
    host: '',
    why: tried === 0 ? '' : `${numberText(tried)} with several tries`,
  }
}

/** Returns when the first of them started and the last one ended. */
const span = (rows: readonly Row[]): Pick<Row, 'startedAt' | 'finishedAt'> => ({
  startedAt: rows.flatMap(({ startedAt }) => startedAt ?? []).sort()[0],
  finishedAt: rows
    .flatMap(({ finishedAt }) => finishedAt ?? [])
    .sort()
    .at(-1),
})

/** The row of many instances of a step. */
function together(instances: readonly Row[]): Line {
  const worst = (['failed', 'interrupted', 'canceled', 'success'] as const).find((status) =>
    instances.some((one) => one.status === status),
  )
  const first = instances[0]!
  return {
    ...first,
    ...span(instances),
    host: `${numberText(instances.length)} instances`,
    status: worst ?? first.status,
    why: countsText(instances),
  }
}

interface Tried {
  usage?: AttemptUsage
}

const HOLDERS: Readonly<Record<AttemptUsage['held_by'], string>> = {
  cgroup_v2: 'cgroups (v2)',
  cgroup_v1: 'cgroups (v1)',
  watchdog: 'a watchdog',
}

/** Peak memory and CPU time of each try: `150 MB` and `1.3 s`, or `150 MB, 80 MB` where it was tried twice. */
export function usageCells(attempts: readonly Tried[]): [memory: string, cpu: string] {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  const all = (texts: (string | undefined)[]) =>
    texts.every((text) => text === undefined) ? '' : texts.map((text) => text ?? '?').join(', ')
  return [
    all(used.map(({ peak_memory_bytes: bytes }) => (bytes === undefined ? undefined : memoryText(bytes)))),
    all(used.map(({ cpu_ms: ms }) => (ms === undefined ? undefined : durationText(ms)))),
  ]
}

/** Says that a host was refused, why, and how often: `x.org:443 refused: that host is not allowed (host_not_allowed, 3 times)`. */
export function refusedText({
  to,
  port,
  why,
  count,
}: Omit<EventOf<'network.refused'>, 'seq' | 'time' | 'type' | 'attempt'>): string {
  const where = port === undefined ? to : `${to}:${port}`
  return `${where} refused: ${refusalText(why, count)}`
}

/** The box of an attempt: `in a sandbox, network models`; empty where it has none. */
export function boxText({
  isolation = 'none',
  made_box,
  network,
}: Pick<EventOf<'attempt.started'>, 'isolation' | 'made_box' | 'network'>): string {
  if (isolation === 'none' && made_box === undefined) return ''
  const box = isolation === 'none' ? `the ${made_box} made for its run` : `a ${isolation}`
  return `in ${box}${network === undefined ? '' : `, network ${networkText(network)}`}`
}

/** Says what an attempt has kept: `kept report.xml (1.5 kB)`. */
export const keptText = ({ artifact: { name, bytes } }: Pick<EventOf<'artifact.kept'>, 'artifact'>): string =>
  `kept ${name} (${bytesText(bytes)})`

/** Hosts of a step that are named because they were refused. */
const MOST_REFUSED = 20

/** Says in which box each step ran last, and what it was refused there, a line each; empty where none had one. */
export function boxesText(steps: readonly Pick<StepView, 'step' | 'instances'>[]): string {
  const lines = steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ attempts }) => {
      const { refused = [], ...attempt } = attempts.at(-1) ?? {}
      const box = boxText(attempt)
      if (box === '') return []
      const more =
        refused.length > MOST_REFUSED ? [`and ${refused.length - MOST_REFUSED} more hosts refused`] : []
      const told = refused
        .slice(0, MOST_REFUSED)
        .map(({ host, ...rest }) => refusedText({ to: host, ...rest }))
      return [`${step} ${box}`, ...[...told, ...more].map((text) => `  ${text}`)]
    }),
  )
  return [...new Set(lines)].map((line) => `${lineText(line)}\n`).join('')
}

/** Says in a line by what attempts were measured and held to limits; empty where nothing was measured. */
export function holdersText(attempts: readonly Tried[]): string {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  if (used.length === 0) return ''
  const holders = [...new Set(used.map(({ held_by }) => HOLDERS[held_by]))]
  const notHeld = [...new Set(used.flatMap(({ not_held }) => not_held ?? []))].map(
    (name) => name.split('_')[0],
  )
  const but = notHeld.length > 0 ? `; not held: ${notHeld.join(', ')}` : ''
  return `Measured, and held to what limits they have, by ${holders.join(' and ')}${but}.\n`
}

/** In units of 1,024, as limits are written. */
function memoryText(bytes: number): string {
  const mb = bytes / 1024 ** 2
  return mb >= 1024 ? `${(mb / 1024).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 1 : 0)} MB`
}

/** Says which runs are given a secret. */
export function secretScopeText(secret: { repository?: string; workflow?: string; owner?: string }): string {
  const { repository, workflow, owner } = secret
  if (repository === undefined && workflow === undefined) return 'all runs'
  const whose = owner === undefined ? '' : ` by ${owner}`
  return repository === undefined ? `runs of ${workflow}${whose}` : `runs for ${repository}${whose}`
}

/** Says which secret each step was given last, a line each; empty where no hub gave it any. */
export function takenSecretsText(steps: readonly Pick<StepView, 'step' | 'instances'>[]): string {
  const lines = steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ attempts }) =>
      Object.entries(attempts.findLast(({ secrets }) => secrets !== undefined)?.secrets ?? {}).map(
        ([variable, secret]) => {
          const name = secret.name === variable ? variable : `${variable} (${secret.name})`
          const which = `the one for ${secretScopeText(secret)}, set by ${secret.updated_by}`
          return `${lineText(`Secret ${name} of ${step}: ${which}.`)}\n`
        },
      ),
    ),
  )
  return [...new Set(lines)].join('')
}
