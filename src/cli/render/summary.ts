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

/** Most instances of a step that have a row each; more instances share one. */
const MOST_ROWS = 20
/** Most failed instances of such a step that are named. */
export const MOST_NAMED = 10
/** Most rows of succeeded steps in the table at the end; more rows share one. */
const MOST_SUCCEEDED = 50

/** Returns why a run is where it is, in a few words. */
export function whyOf(run: Pick<RunSummary, 'set_aside' | 'waiting' | 'reason' | 'message'>): string {
  return run.set_aside ? `set aside: ${run.set_aside.why}` : (run.waiting ?? whyText(run))
}

/** Returns why something did not succeed, in one line: `exit code 3`, `timeout: ...`, `condition`. */
export function whyText(of: { reason?: string; message?: string; exitCode?: number }): string {
  const message = of.message?.split('\n')[0]
  if (of.reason === 'exit_code')
    return of.exitCode === undefined ? (message ?? 'exit code') : `exit code ${of.exitCode}`
  const reason = of.reason?.replaceAll('_', ' ')
  if (reason === undefined || message === undefined) return reason ?? message ?? ''
  // `"build" failed`, `rejected by ann` and `Variable "X" is not set` contain the reason already.
  const isRepeated = reason === 'upstream' || message.toLowerCase().startsWith(reason.split(' ').at(-1)!)
  return isRepeated ? message : `${reason}: ${message}`
}

export const between = (start: string | undefined, end: string | undefined): string =>
  start === undefined || end === undefined ? '' : durationText(Date.parse(end) - Date.parse(start))

/** Returns how long an ended run or step was worked on, such as `5.0 s`; empty while it runs. */
export const workedText = (of: Timed): string =>
  of.started_at === undefined || of.finished_at === undefined ? '' : durationText(workOf(of, 0)!.workedMs)

/** Returns how long something waited while nothing of it was worked on, such as `10 m 00 s`; empty below a second. */
export function waitedText(of: Timed, nowMs = Date.now()): string {
  const waitedMs = waitedBy(of, nowMs)
  return waitedMs < LEAST_WAIT_MS ? '' : durationText(waitedMs)
}

/** Returns the head and rows of a table, without the named column if that is empty in every row. */
export function withoutEmpty(name: string, head: string[], rows: string[][]): [string[], string[][]] {
  const at = head.indexOf(name)
  if (rows.some((cells) => cells[at] !== '')) return [head, rows]
  return [head.toSpliced(at, 1), rows.map((cells) => cells.toSpliced(at, 1))]
}

/** Formats the name of a step: `build`, `build (rollback)`. */
export const stepName = ({ step, phase }: Pick<Row, 'step' | 'phase'>): string =>
  phase === 'main' ? step : `${step} (${phase})`

export const isFailure = (status: StepStatus): boolean => status === 'failed' || status === 'interrupted'

/** Reports whether that many instances of a step share a row. */
export const isFolded = (instances: number, verbose = false): boolean => !verbose && instances > MOST_ROWS

type HasStatus = Pick<Row, 'status'>

/** Counts instances by status: `9,990 succeeded, 10 failed`. */
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

/** Returns the instances of a step that have their own row: all, or of many only the first that failed. */
export function named<T extends HasStatus>(instances: readonly T[], verbose = false): readonly T[] {
  if (!isFolded(instances.length, verbose)) return instances
  return instances.filter(({ status }) => isFailure(status)).slice(0, MOST_NAMED)
}

export interface SummaryOptions {
  paint: Paint
  verbose?: boolean
  /** Command or option that shows a row for each instance. */
  allRows: string
}

/** Formats the table at the end of a run, failures first. Reasons are short, as the details were reported earlier. */
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
  return left || isLong ? `${text}${paint('dim', `For a row per instance: ${lineText(allRows)}`)}\n` : text
}

function rowWhy({ tries, reason, message, exitCode }: Row): string {
  const why = reason === undefined ? message : whyText({ reason, exitCode })
  return [tries > 1 ? `${tries} attempts` : '', why ?? ''].filter((text) => text !== '').join('; ')
}

interface Line extends Row {
  why: string
  /** Text for the first column instead of the step. */
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
    why: tried === 0 ? '' : `${numberText(tried)} with several attempts`,
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

/** Returns the shared row of many instances of a step. */
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

/** Returns peak memory and CPU time of each try: `150 MB` and `1.3 s`, or `150 MB, 80 MB` for two tries. */
export function usageCells(attempts: readonly Tried[]): [memory: string, cpu: string] {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  const all = (texts: (string | undefined)[]) =>
    texts.every((text) => text === undefined) ? '' : texts.map((text) => text ?? '?').join(', ')
  return [
    all(used.map(({ peak_memory_bytes: bytes }) => (bytes === undefined ? undefined : memoryText(bytes)))),
    all(used.map(({ cpu_ms: ms }) => (ms === undefined ? undefined : durationText(ms)))),
  ]
}

/** Formats a refusal: `x.org:443 refused: that host is not allowed (host_not_allowed, 3 times)`. */
export function refusedText({
  to,
  port,
  why,
  count,
}: Omit<EventOf<'network.refused'>, 'seq' | 'time' | 'type' | 'attempt'>): string {
  const where = port === undefined ? to : `${to}:${port}`
  return `${where} refused: ${refusalText(why, count)}`
}

/** Formats the box of an attempt: `in a sandbox, network models`; empty if it has none. */
export function boxText({
  isolation = 'none',
  made_box,
  network,
}: Pick<EventOf<'attempt.started'>, 'isolation' | 'made_box' | 'network'>): string {
  if (isolation === 'none' && made_box === undefined) return ''
  const box = isolation === 'none' ? `the ${made_box} made for its run` : `a ${isolation}`
  return `in ${box}${network === undefined ? '' : `, network ${networkText(network)}`}`
}

/** Formats an artifact that an attempt has stored: `stored report.xml (1.5 kB)`. */
export const storedText = ({
  artifact: { name, bytes },
}: Pick<EventOf<'artifact.kept'>, 'artifact'>): string => `stored ${name} (${bytesText(bytes)})`

/** Most refused hosts of a step that are named. */
const MOST_REFUSED = 20

/** Returns lines on the box in which each step ran last, and on hosts that were refused there; empty without boxes. */
export function boxesText(steps: readonly Pick<StepView, 'step' | 'instances'>[]): string {
  const lines = steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ attempts }) => {
      const { refused = [], ...attempt } = attempts.at(-1) ?? {}
      const box = boxText(attempt)
      if (box === '') return []
      const more =
        refused.length > MOST_REFUSED ? [`and ${refused.length - MOST_REFUSED} more hosts refused`] : []
      const reported = refused
        .slice(0, MOST_REFUSED)
        .map(({ host, ...rest }) => refusedText({ to: host, ...rest }))
      return [`${step} ${box}`, ...[...reported, ...more].map((text) => `  ${text}`)]
    }),
  )
  return [...new Set(lines)].map((line) => `${lineText(line)}\n`).join('')
}

/** Returns a line on what measured attempts and enforced their limits; empty if nothing was measured. */
export function holdersText(attempts: readonly Tried[]): string {
  const used = attempts.flatMap(({ usage }) => usage ?? [])
  if (used.length === 0) return ''
  const holders = [...new Set(used.map(({ held_by }) => HOLDERS[held_by]))]
  const notHeld = [...new Set(used.flatMap(({ not_held }) => not_held ?? []))].map(
    (name) => name.split('_')[0],
  )
  const but = notHeld.length > 0 ? `; not enforced: ${notHeld.join(', ')}` : ''
  return `Measured and limited by ${holders.join(' and ')}${but}.\n`
}

/** Formats memory in units of 1,024, as limits are written. */
function memoryText(bytes: number): string {
  const mb = bytes / 1024 ** 2
  return mb >= 1024 ? `${(mb / 1024).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 1 : 0)} MB`
}

/** Returns which runs get a secret. */
export function secretScopeText(secret: { repository?: string; workflow?: string; owner?: string }): string {
  const { repository, workflow, owner } = secret
  if (repository === undefined && workflow === undefined) return 'all runs'
  const whose = owner === undefined ? '' : ` by ${owner}`
  return repository === undefined ? `runs of ${workflow}${whose}` : `runs for ${repository}${whose}`
}

/** Returns a line for each secret that a step got last; empty if no hub gave it any. */
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
