import type { StreamName } from '../../contract/attempt.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import { AgentLines } from './agent-line.ts'
import { instanceName } from './instance-name.ts'
import { LiveLines } from './live-lines.ts'
import { type Paint, palette } from './palette.ts'
import { RunRows } from './run-rows.ts'
import { between, statusColor, summary, whyText } from './summary.ts'
import { lineText, type TextRules } from './terminal-text.ts'
import { durationText } from './units.ts'

export interface DisplayOptions extends TextRules {
  /** Bytes of a stream of one attempt of this step that are shown. */
  maxBytes(step: string): number
  /** How a person gets at the whole of an output that was cut. */
  wholeOutput(attempt: number, stream: StreamName): string
  /** The steps that lead to this run, for one within another: each line is indented and begins with them, and there is no summary. */
  within?: readonly string[]
  /** How a person answers an approval; absent: this command asks. */
  answerHint?(step: string): string
}

/** A run as a person reads it: text for each event, and the summary at the end. */
export class RunDisplay {
  readonly #options: DisplayOptions
  readonly #paint: Paint
  readonly #rows = new RunRows()
  readonly #lines = new Map<number, LiveLines>()
  readonly #agents = new Map<number, AgentLines>()
  readonly #waiting = new Map<number, string>()
  #created: string | undefined
  /** The step that was named last: lines of others name their own. */
  #named: string | undefined

  constructor(options: DisplayOptions) {
    this.#options = options
    this.#paint = palette(options.color)
  }

  /** What to write for this event; often nothing. */
  add(event: RunEvent): string {
    this.#rows.add(event)
    const text = this.#text(event)
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
        return this.#note('yellow', event.force ? 'canceling by force' : 'canceling')
      case 'run.timed_out':
        return this.#note('red', 'the time for the whole run is up')
      case 'run.finished':
        return this.#options.within?.length ? '' : this.#end(event)
      case 'step.started':
        return this.#stepStarted(event)
      case 'step.skipped':
        return `${paint('dim', `- ${lineText(event.step)} skipped: ${lineText(whyText(event))}`)}\n`
      case 'step.finished':
        return this.#stepFinished(event)
      case 'attempt.created':
        return this.#attemptCreated(event)
      case 'attempt.waiting':
        return this.#attemptWaiting(event.attempt, event.why)
      case 'attempt.phase':
        return `${this.#prefix(event.attempt)}${paint('dim', lineText([event.phase, event.message].filter(Boolean).join(': ')))}\n`
      case 'output':
        return this.#lines.get(event.attempt)?.add(event, this.#prefix(event.attempt)) ?? ''
      case 'agent.update':
        return this.#agentUpdate(event)
      case 'attempt.finished':
        return this.#attemptFinished(event)
      case 'approval.requested':
        return this.#approval(event)
      case 'approval.answered':
        return this.#note(
          'dim',
          `${event.step}: ${event.decision === 'approve' ? 'approved' : 'rejected'}${by(event)}`,
        )
      case 'child.started':
        return this.#note('dim', `${event.step}: runs as ${event.run_id}`)
      case 'child.finished':
        return this.#note('dim', `${event.step}: ${event.run_id} ended ${event.status}`)
      default:
        return ''
    }
  }

  #stepStarted({ step, phase, instances }: EventOf<'step.started'>): string {
    this.#named = step
    const paint = this.#paint
    const failed = instances.flatMap(({ host, vars, ended }) =>
      ended?.status === 'failed'
        ? `${this.#before(instanceName(host, vars))}${paint('red', lineText(whyText(ended)))}\n`
        : [],
    )
    return `${paint('bold', `> ${lineText(step)}`)}${phase === 'main' ? '' : paint('dim', ` (${phase})`)}\n${failed.join('')}`
  }

  #attemptCreated(event: EventOf<'attempt.created'>): string {
    const { tty, color } = this.#options
    this.#lines.set(event.attempt, new LiveLines(this.#options.maxBytes(event.step), { tty, color }))
    return event.waiting === undefined ? '' : this.#attemptWaiting(event.attempt, event.waiting)
  }

  #attemptWaiting(attempt: number, why: string): string {
    if (this.#waiting.get(attempt) === why) return ''
    this.#waiting.set(attempt, why)
    return `${this.#prefix(attempt)}${this.#paint('yellow', `waiting: ${lineText(why)}`)}\n`
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
    const prefix = this.#prefix(event.attempt)
    const whole = (stream: StreamName): string =>
      lineText(event.output_files?.[stream] ?? this.#options.wholeOutput(event.attempt, stream))
    let text = this.#lines.get(event.attempt)?.end(prefix, whole) ?? ''
    this.#lines.delete(event.attempt)
    this.#agents.delete(event.attempt)
    this.#waiting.delete(event.attempt)
    if (event.outcome === 'success')
      return event.message === undefined
        ? text
        : `${text}${prefix}${this.#paint('yellow', lineText(event.message))}\n`
    const why = lineText(whyText({ ...event, exitCode: event.exit_code }))
    const color = statusColor[event.outcome]
    if (event.retry_at === undefined) return `${text}${prefix}${this.#paint(color, why)}\n`
    const waitMs = Math.max(0, Date.parse(event.retry_at) - Date.parse(event.time))
    text += `${prefix}${this.#paint(color, why.replace(/\.$/, ''))}`
    text += this.#paint('yellow', `, tried again in ${durationText(waitMs)}`)
    return `${text}\n`
  }

  #stepFinished(event: EventOf<'step.finished'>): string {
    const { status, step } = event
    if (status === 'success') return ''
    const why = whyText({
      reason: event.reason === 'exit_code' ? undefined : event.reason,
      message: event.message,
    })
    return this.#note(
      statusColor[status],
      `${step} ${status}${why === '' || why === status ? '' : `: ${why}`}`,
    )
  }

  #approval(event: EventOf<'approval.requested'>): string {
    const hint = this.#options.answerHint?.(event.step)
    const text = `? ${event.step}: ${event.message}${hint === undefined ? '' : `  (${hint})`}`
    return this.#note('yellow', text)
  }

  #end(event: EventOf<'run.finished'>): string {
    const paint = this.#paint
    const took = between(this.#created, event.time)
    const why =
      event.status === 'success'
        ? ''
        : whyText({ reason: event.reason === 'exit_code' ? undefined : event.reason, message: event.message })
    const outputs = Object.entries(event.outputs ?? {}).map(([name, value]) => `${name}=${lineText(value)}\n`)
    const safe = this.#rows.rows.map((row) => ({
      ...row,
      step: lineText(row.step),
      host: lineText(row.host),
      message: row.message === undefined ? undefined : lineText(row.message),
    }))
    return (
      `\n${summary(safe, paint)}${outputs.length === 0 ? '' : `\n${outputs.join('')}`}\n` +
      `${paint(statusColor[event.status], event.status)} in ${took}${why === '' || why === event.status ? '' : `: ${lineText(why)}`}\n`
    )
  }

  /** `host | `, with the step before it where that is not the one named last. */
  #prefix(attempt: number): string {
    const row = this.#rows.of(attempt)
    if (row === undefined) return ''
    return this.#before(row.step === this.#named ? row.host : `${row.step} ${row.host}`)
  }

  #before(where: string): string {
    return `${this.#paint('cyan', lineText(where))} ${this.#paint('dim', '|')} `
  }

  #note(color: Parameters<Paint>[0], text: string): string {
    return `${this.#paint(color, lineText(text))}\n`
  }
}

const by = (event: EventOf<'approval.answered'>): string =>
  `${event.by === undefined ? '' : ` by ${event.by}`}${event.comment === undefined ? '' : `: ${event.comment}`}`
