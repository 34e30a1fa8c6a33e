import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import { isFinalStep } from '../../contract/status.ts'
import { AgentLines } from './agent-tools.ts'
import { Failures } from './failures.ts'
import { LiveLines, type RunningStep, runningFor, StillRunning } from './live-lines.ts'
import { type Row, RunRows } from './run-rows.ts'
import {
  between,
  countsText,
  isFolded,
  refusedText,
  statusColor,
  stepName,
  storedText,
  summary,
  whyText,
} from './summary.ts'
import { durationText } from './table.ts'
import { lineText, type Paint, palette, type TextRules } from './terminal-text.ts'

export interface DisplayOptions extends TextRules {
  /** Returns how many bytes are shown of a stream of one attempt of this step. */
  maxBytes(step: string): number
  /** Returns how a person gets the full output that was cut. */
  wholeOutput(attempt: number, stream: StreamName): string
  /** Steps that lead to this run, for a child: each line is indented and begins with them, and there is no summary. */
  within?: readonly string[]
  /** Returns how a person answers an approval; absent: this command asks. */
  answerHint?(step: string): string
  /** Show each instance of a step separately, however many there are. */
  verbose?: boolean
  /** Leave out steps that were not needed, phases without a message, and the run's outputs. */
  brief?: boolean
  /** Command or option that shows all rows. */
  allRows: string
  /** Reports whether the end of a child run was shown, with the reason for its failure. */
  isShown?(runId: string): boolean
}

/** Formats a run for a person: text for each event, and the summary at the end. */
export class RunDisplay {
  readonly #options: DisplayOptions
  readonly #paint: Paint
  readonly #rows = new RunRows()
  readonly #running = new StillRunning()
  readonly #lines = new Map<number, LiveLines>()
  readonly #agents = new Map<number, AgentLines>()
  readonly #waiting = new Map<number, string>()
  readonly #refusals = new Set<string>()
  /** Steps with many instances whose wait was shown. */
  readonly #reportedWaits = new Set<string>()
  readonly #failures: Failures
  #created: string | undefined
  /** Step that was named last; lines of other steps name their own. */
  #named: string | undefined

  constructor(options: DisplayOptions) {
    this.#options = options
    this.#paint = palette(options.color)
    this.#failures = new Failures(this.#paint)
  }

  /** Returns the text to write for this event; often empty. `nowMs` is as for `StillRunning`. */
  add(event: RunEvent, nowMs: number = performance.now()): string {
    this.#rows.add(event)
    this.#running.add(event, nowMs)
    const text = this.#text(event)
    this.#failures.wrote(text)
    return this.#within(text)
  }

  /** Returns lines about steps that have been quiet for long, once for each of the times. */
  due(nowMs: number): string {
    const lines = this.#running
      .due(nowMs)
      .map((one) => `${this.#paint('dim', `… still running: ${this.#runningText(one)}`)}\n`)
    return this.#within(lines.join(''))
  }

  /** Returns the steps that run now, in a line without line feed; empty if none runs. */
  live(nowMs: number): string {
    const steps = this.#running.steps(nowMs)
    const within = (this.#options.within ?? []).map((step) => `${lineText(step)} > `).join('')
    return steps.map((one) => `${within}${this.#runningText(one)}`).join(' · ')
  }

  #runningText({ step, phase, attempts, longestMs }: RunningStep): string {
    const rows = this.#rows.ofStep({ step, phase })
    const longest = runningFor(longestMs)
    const text =
      rows.length === 1 || (attempts.length === 1 && !this.#isFolded(rows))
        ? `${stepName({ step, phase })} on ${this.#rows.of(attempts[0]!)?.host} (${longest})`
        : `${stepName({ step, phase })}: ${countsText(rows)} (longest ${longest})`
    return lineText(text)
  }

  /** Puts the steps that lead to a child run before each of its lines. */
  #within(text: string): string {
    const { within = [] } = this.#options
    if (within.length === 0 || text === '') return text
    const before = `${'  '.repeat(within.length)}${this.#paint('dim', `${lineText(within.join(' > '))}:`)} `
    return `${before}${text.slice(0, -1).replaceAll('\n', `\n${before}`)}\n`
  }

  #text(event: RunEvent): string {
    const paint = this.#paint
    switch (event.type) {
      case 'run.created':
        this.#created = event.time
        return ''
      case 'run.waiting':
        return this.#note('yellow', `waiting: ${event.why}`)
      case 'run.cancel_requested':
        return this.#note('yellow', event.force ? 'killing everything now' : `canceling${this.#stillAtEnd()}`)
      case 'run.timed_out':
        return this.#note('red', 'the time limit of the run has passed')
      case 'run.finished':
        return this.#options.within?.length ? '' : this.#end(event)
      case 'step.started':
        return this.#stepStarted(event)
      case 'step.skipped':
        if (!this.#options.verbose && event.on_demand) return ''
        if (this.#options.brief && event.reason === 'condition') return ''
        return `${paint('dim', `- ${lineText(event.step)} skipped: ${lineText(whyText(event))}`)}\n`
      case 'step.finished':
        return this.#stepFinished(event)
      case 'attempt.created':
        return this.#attemptCreated(event)
      case 'attempt.waiting':
        return this.#attemptWaiting(event.attempt, event.why)
      case 'attempt.phase':
        if (this.#options.brief && event.message === undefined) return ''
        return `${this.#prefix(event.attempt)}${paint('dim', lineText([event.phase, event.message].filter(Boolean).join(': ')))}\n`
      case 'network.refused':
        return this.#refused(event)
      case 'artifact.kept':
        return `${this.#prefix(event.attempt)}${paint('dim', lineText(storedText(event)))}\n`
      case 'output':
        return (
          this.#lines.get(event.attempt)?.add(event, (stream) => this.#prefix(event.attempt, stream)) ?? ''
        )
      case 'agent.update':
        return this.#agentUpdate(event)
      case 'attempt.finished':
        return this.#attemptFinished(event)
      case 'approval.requested':
        return this.#approval(event)
      case 'approval.answered':
        return this.#answered(event)
      case 'child.started':
        return this.#note('dim', `${event.step}: runs as ${event.run_id}`)
      case 'child.finished':
        return this.#childFinished(event)
      default:
        return ''
    }
  }

  /** Returns which rollbacks and final steps a cancel waits for; empty if none runs. */
  #stillAtEnd(): string {
    const open = this.#rows.rows.filter(({ phase, status }) => phase !== 'main' && !isFinalStep(status))
    const names = [...new Set(open.map(stepName))]
    return names.length === 0 ? '' : `; waiting for ${names.join(', ')}, which a cancel does not stop`
  }

  #stepStarted(event: EventOf<'step.started'>): string {
    this.#named = event.step
    const paint = this.#paint
    const rows = this.#rows.ofStep(event)
    const isOneOfMany = this.#isFolded(rows)
    const failed = rows
      .filter(({ status }) => status === 'failed')
      .map((row) => this.#failures.ended(row, { why: whyText(row), isOneOfMany }))
    return `${paint('bold', `> ${lineText(event.step)}`)}${event.phase === 'main' ? '' : paint('dim', ` (${event.phase})`)}\n${failed.join('')}`
  }

  #attemptCreated(event: EventOf<'attempt.created'>): string {
    const lines = new LiveLines(this.#options.maxBytes(event.step), this.#options.color)
    this.#lines.set(event.attempt, lines)
    return event.waiting === undefined ? '' : this.#attemptWaiting(event.attempt, event.waiting)
  }

  #attemptWaiting(attempt: number, why: string): string {
    const row = this.#rows.of(attempt)
    if (row === undefined || this.#waiting.get(attempt) === why) return ''
    this.#waiting.set(attempt, why)
    const text = `${this.#paint('yellow', `waiting: ${lineText(why)}`)}\n`
    if (!this.#isFolded(this.#rows.ofStep(row))) return `${this.#prefix(attempt)}${text}`
    const key = `${row.phase} ${row.step}`
    if (this.#reportedWaits.has(key)) return ''
    this.#reportedWaits.add(key)
    return `${this.#before(stepName(row))}${text}`
  }

  /**
   * Reports each refused host once per reason, as a program that retries causes an event each second. An agent's own
   * stream reports it, so agents are left out.
   */
  #refused(event: EventOf<'network.refused'>): string {
    const { attempt } = event
    const key = JSON.stringify([attempt, event.to, event.port, event.why])
    if (this.#agents.has(attempt) || this.#refusals.has(key)) return ''
    this.#refusals.add(key)
    return `${this.#prefix(attempt)}${this.#paint('yellow', lineText(refusedText(event)))}\n`
  }

  #agentUpdate({ attempt, update }: EventOf<'agent.update'>): string {
    let lines = this.#agents.get(attempt)
    if (lines === undefined) {
      lines = new AgentLines()
      this.#agents.set(attempt, lines)
    }
    const line = lines.add(update)
    return line === undefined
      ? ''
      : `${this.#prefix(attempt)}${this.#paint(line.color, lineText(line.text))}\n`
  }

  #attemptFinished(event: EventOf<'attempt.finished'>): string {
    const { attempt } = event
    const prefix = (stream: StreamName): string => this.#prefix(attempt, stream)
    const whole = (stream: StreamName): string =>
      lineText(event.output_files?.[stream] ?? this.#options.wholeOutput(attempt, stream))
    const lines = this.#lines.get(attempt)
    const text = lines?.end(prefix, whole) ?? ''
    this.#lines.delete(attempt)
    this.#agents.delete(attempt)
    this.#waiting.delete(attempt)
    if (event.outcome === 'success')
      return event.message === undefined
        ? text
        : `${text}${this.#prefix(attempt)}${this.#paint('yellow', lineText(event.message))}\n`
    const row = this.#rows.of(attempt)
    if (row === undefined) return text
    const isOneOfMany = this.#isFolded(this.#rows.ofStep(row))
    const ended = { ...row, status: event.outcome }
    const why = whyText({ ...event, exitCode: event.exit_code })
    if (event.retry_at === undefined)
      return text + this.#failures.ended(ended, { why, isOneOfMany, lastLines: lines?.last() })
    const waitMs = Math.max(0, Date.parse(event.retry_at) - Date.parse(event.time))
    const again = `${why.replace(/\.$/, '')}, retrying in ${durationText(waitMs)}`
    return text + this.#failures.ended(ended, { why: again, isOneOfMany, isTriedAgain: true })
  }

  /** Reports why a step did not succeed, unless the failure of an instance has said so. */
  #stepFinished(event: EventOf<'step.finished'>): string {
    const rows = this.#rows.ofStep(event)
    const isReported = event.status === 'success' || this.#failures.isReported(event)
    const why = isReported ? '' : whyText(event)
    if (!this.#isFolded(rows)) return isReported ? '' : this.#failures.ended({ ...event, host: '' }, { why })
    const counts = `${countsText(rows)}${why === '' ? '' : `; ${why}`}`
    return this.#note(statusColor[event.status], `${stepName(event)}: ${counts}`)
  }

  #approval(event: EventOf<'approval.requested'>): string {
    const hint = this.#options.answerHint?.(event.step)
    const text = `? ${event.step}: ${event.message}${hint === undefined ? '' : `  (${hint})`}`
    return this.#note('yellow', text)
  }

  #answered(event: EventOf<'approval.answered'>): string {
    const { step, decision, by, comment, reason } = event
    // The end of the step says why nobody answered.
    if (reason !== undefined) return ''
    if (decision === 'reject') this.#failures.markReported(event)
    const who = `${by === undefined ? '' : ` by ${by}`}${comment === undefined ? '' : `: ${comment}`}`
    return this.#note('dim', `${step}: ${decision === 'approve' ? 'approved' : 'rejected'}${who}`)
  }

  #childFinished(event: EventOf<'child.finished'>): string {
    if (event.status !== 'success' && this.#options.isShown?.(event.run_id))
      this.#failures.markReported(event)
    return this.#note('dim', `${event.step}: ${event.run_id} ended ${event.status}`)
  }

  #end(event: EventOf<'run.finished'>): string {
    const paint = this.#paint
    const took = between(this.#created, event.time)
    const { brief, verbose } = this.#options
    const shown = brief ? [] : Object.entries(event.outputs ?? {})
    const outputs = shown.map(([name, value]) => `${name}=${lineText(value)}\n`)
    const rows = this.#rows.rows.filter(
      ({ status, reason, isIdle }) =>
        (verbose || !isIdle) && (!brief || status !== 'skipped' || reason !== 'condition'),
    )
    const table = summary(rows, { ...this.#options, paint })
    return (
      `\n${this.#failures.far()}${table}${outputs.length === 0 ? '' : `\n${outputs.join('')}`}\n` +
      `${paint(statusColor[event.status], event.status)} in ${took}${this.#whyEnded(event)}\n`
    )
  }

  /** Names the step that failed the run; the reason was reported where it failed. */
  #whyEnded({ status, reason, message }: EventOf<'run.finished'>): string {
    if (status === 'success') return ''
    const step = this.#rows.rows.find((row) => message?.startsWith(`Step "${row.step}" `))?.step
    const why = step === undefined ? whyText({ reason, message }) : `step "${step}"`
    return why === '' || why === status ? '' : `: ${lineText(why)}`
  }

  /** Returns `host | `, or `host ! ` for standard error, after the step's name if it is not the step named last. */
  #prefix(attempt: number, stream?: StreamName): string {
    const row = this.#rows.of(attempt)
    if (row === undefined) return ''
    return this.#before(row.step === this.#named ? row.host : `${row.step} ${row.host}`, stream)
  }

  #before(where: string, stream?: StreamName): string {
    const mark = stream === 'stderr' ? this.#paint('yellow', '!') : this.#paint('dim', '|')
    return `${this.#paint('cyan', lineText(where))} ${mark} `
  }

  #isFolded(rows: readonly Row[]): boolean {
    return isFolded(rows.length, this.#options.verbose)
  }

  #note(color: Parameters<Paint>[0], text: string): string {
    return `${this.#paint(color, lineText(text))}\n`
  }
}
