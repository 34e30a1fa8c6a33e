import type * as z from 'zod'
import type { AgentUpdate, AgentUpdateOf, FileDiff } from '../../contract/agent.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import { AgentTools, answerText, commandText, questionText } from './agent-tools.ts'
import { between, boxText, statusColor, storedText, whyText } from './summary.ts'
import {
  CLEAR_LINE,
  type Color,
  lineText,
  type Paint,
  palette,
  passingLine,
  pieceText,
  type TextRules,
} from './terminal-text.ts'

/** Most changed lines of a file that are shown. */
const DIFF_LINES = 12
const PASSING_CHARACTERS = 300
const WHY_CHARACTERS = 200

/** Formats the run of an agent for a person: returns the text to write for each event. */
export class AgentDisplay {
  readonly #rules: TextRules
  readonly #paint: Paint
  readonly #tools = new AgentTools()
  /** Prompts that the reader knows because they were typed here. */
  readonly #seen = new Set(['first'])
  #created: string | undefined
  #usage: AgentUpdateOf<'usage'> | undefined
  #plan = ''
  #waiting = ''
  #failure = ''
  #box = ''
  /** True once a loaded session is shown: some agents report it again, with their version, in the first turn. */
  #loaded = false
  /** Kind of the text that streams in now. */
  #speaking: 'message' | 'thought' | undefined
  #open = false
  /** True while the last line is one that the next text replaces. */
  #passing = false

  constructor(rules: TextRules) {
    this.#rules = rules
    this.#paint = palette(rules.color)
  }

  add(event: RunEvent): string {
    switch (event.type) {
      case 'run.created':
        this.#created = event.time
        return ''
      case 'attempt.created':
        return event.waiting === undefined ? '' : this.#wait(event.waiting)
      case 'attempt.waiting':
        return this.#wait(event.why)
      case 'agent.update':
        return this.#update(event.update)
      case 'attempt.phase':
        return ['isolation', 'artifacts'].includes(event.phase)
          ? this.#line('yellow', event.message ?? '')
          : ''
      case 'attempt.started':
        this.#box = boxText(event)
        return ''
      case 'artifact.kept':
        return this.#line('dim', storedText(event))
      case 'attempt.finished':
        this.#failure = whyText({ ...event, exitCode: event.exit_code })
        return event.outcome === 'success' && event.denied ? this.#line('yellow', this.#failure) : ''
      case 'input.passed_on':
        return this.#line('dim', `a prompt came too late: run ${event.run_id} continues with it`)
      case 'input.dropped':
        return this.#line('yellow', `a prompt came too late: ${event.message}`)
      case 'run.cancel_requested':
        return this.#line('yellow', 'canceling')
      case 'run.finished':
        return this.#end(event)
      default:
        return ''
    }
  }

  /** Marks a prompt that the reader knows already. */
  seen(inputId: string): void {
    this.#seen.add(inputId)
  }

  /** Returns the text to write before others write, such as a question. */
  pause(): string {
    return this.#clear()
  }

  #update(update: AgentUpdate): string {
    switch (update.kind) {
      case 'message':
      case 'thought':
        return this.#speak(update.kind, update.text)
      case 'session':
        return this.#session(update)
      case 'prompt':
        return this.#seen.has(update.input_id) ? '' : this.#line('cyan', `> ${firstLine(update.text)}`)
      case 'tool':
        return this.#tool(update)
      case 'plan':
        return this.#planned(update)
      case 'usage':
        this.#usage = update
        return ''
      case 'permission':
        return this.#line('yellow', questionText(update))
      case 'permission_answered':
        return this.#line('dim', `  ${answerText(update)}`)
      case 'retry':
        return this.#line(
          'yellow',
          `the model service failed (${update.failure}), retrying: ${firstLine(update.message)}`,
        )
      case 'verify':
        return update.status === 'running'
          ? this.#pass(`verify: ${commandText(update.command)}`)
          : this.#line(
              update.status === 'passed' ? 'green' : 'red',
              `verify ${update.status}: ${commandText(update.command)}`,
            )
      case 'turn_ended':
        this.#loaded = false
        return update.stop_reason === 'end_turn' ? this.#clear() : this.#line('yellow', turnEnd(update))
      case 'notice':
        return this.#line('dim', update.text)
      case 'model':
        return update.refused === undefined
          ? this.#line('dim', `${update.who ?? 'Errand'} switched the model to ${update.model}`)
          : this.#line('yellow', `the model was not switched to ${update.model}: ${update.refused}`)
      case 'queue':
        return update.done ? this.#line('dim', queueText(update)) : ''
      case 'idle':
        return ''
    }
  }

  #session({ agent, version, model, origin }: AgentUpdateOf<'session'>): string {
    const what = [agent, version, model, this.#box].filter(Boolean).join(' ')
    // Some agents report their version only with the first turn.
    if ((version === undefined && origin === 'new') || (this.#loaded && origin === 'loaded')) return ''
    this.#loaded = origin === 'loaded'
    const how = { new: '', loaded: ', session loaded', same: ', still running' }[origin]
    return this.#line('dim', `${what}${how}`)
  }

  #speak(kind: 'message' | 'thought', text: string): string {
    // A reader behind a pipe wants only the messages.
    if (text === '' || (kind === 'thought' && !this.#rules.tty)) return ''
    const before = this.#speaking === kind ? '' : this.#clear()
    this.#speaking = kind
    this.#open = !text.endsWith('\n')
    const safe = pieceText(text)
    return before + (kind === 'thought' ? this.#paint('dim', safe) : safe)
  }

  #tool(update: AgentUpdateOf<'tool'>): string {
    const { label, ended } = this.#tools.follow(update)
    if (ended === undefined) return label === undefined ? '' : this.#pass(label)
    const color: Color = ended.status === 'completed' ? 'green' : ended.status === 'denied' ? 'yellow' : 'red'
    let text = this.#line(color, `${ended.status.padEnd(9)} ${ended.label}`)
    if (ended.why !== undefined)
      text += this.#line('dim', `    ${firstLine(ended.why).slice(0, WHY_CHARACTERS)}`)
    for (const diff of ended.diffs) {
      const { lines, more } = shortDiff(diff, DIFF_LINES)
      for (const { sign, text: line } of lines)
        text += this.#line(sign === '+' ? 'green' : 'red', `    ${sign} ${line}`)
      if (more > 0) text += this.#line('dim', `    ... ${more} more lines in ${diff.path}`)
    }
    return text
  }

  #planned({ entries }: AgentUpdateOf<'plan'>): string {
    const marks = { pending: '[ ]', in_progress: '[>]', completed: '[x]' } as const
    const lines = entries.map(({ text, status }) => `    ${marks[status]} ${text}`)
    if (lines.join('\n') === this.#plan) return ''
    this.#plan = lines.join('\n')
    return this.#line('dim', 'plan') + lines.map((line) => this.#line('dim', line)).join('')
  }

  #wait(why: string): string {
    if (why === this.#waiting) return ''
    this.#waiting = why
    return this.#line('yellow', `waiting: ${why}`)
  }

  #end(event: EventOf<'run.finished'>): string {
    const usage = this.#usage === undefined ? '' : this.#line('dim', usageText(this.#usage.session))
    const why = event.status === 'success' ? '' : this.#failure || whyText(event)
    const took = between(this.#created, event.time)
    const end = `${event.status}${took === '' ? '' : ` in ${took}`}${why === '' || why === event.status ? '' : `: ${why}`}`
    return `${usage}${this.#line(statusColor[event.status], end)}`
  }

  /** Returns a separate line. */
  #line(color: Color, text: string): string {
    return `${this.#clear()}${this.#paint(color, lineText(text))}\n`
  }

  /** Returns a line for a terminal that the next text replaces; empty if the reader is not a terminal. */
  #pass(text: string): string {
    if (!this.#rules.tty) return ''
    const before = this.#clear()
    this.#passing = true
    const shown = lineText(firstLine(text).slice(0, PASSING_CHARACTERS))
    return `${before}${passingLine(this.#paint('dim', shown))}`
  }

  #clear(): string {
    const text = this.#passing ? CLEAR_LINE : this.#open ? '\n' : ''
    this.#passing = false
    this.#open = false
    this.#speaking = undefined
    return text
  }
}

const firstLine = (text: string): string => {
  const [first = '', ...rest] = text.split('\n')
  return rest.length === 0 ? first : `${first} ...`
}

const turnEnd = ({ stop_reason, failure, message }: AgentUpdateOf<'turn_ended'>): string =>
  [`the turn ended: ${stop_reason.replaceAll('_', ' ')}`, failure, message && firstLine(message)]
    .filter(Boolean)
    .join(': ')

function usageText({
  input_tokens,
  cached_input_tokens,
  output_tokens,
  cost_usd,
}: AgentUpdateOf<'usage'>['session']) {
  const cost = cost_usd === undefined ? '' : `, $${cost_usd.toFixed(4)}`
  const cached = cached_input_tokens === 0 ? '' : ` and ${cached_input_tokens} cached`
  return `tokens: ${input_tokens}${cached} in, ${output_tokens} out${cost}`
}

interface DiffLine {
  sign: '+' | '-'
  text: string
}

/** Returns the first `most` lines that a change removes and adds, and how many more there are. */
export function shortDiff(diff: z.infer<typeof FileDiff>, most: number): { lines: DiffLine[]; more: number } {
  const lines = diff.unified === undefined ? changedLines(diff) : unifiedLines(diff.unified)
  return { lines: lines.slice(0, most), more: Math.max(0, lines.length - most) }
}

/** Returns the changed lines of a unified diff, without the file names before the first hunk. */
const unifiedLines = (unified: string): DiffLine[] =>
  unified
    .slice(Math.max(0, unified.search(/^@@/m)))
    .split('\n')
    .filter((line) => /^[+-]/.test(line))
    .map((line) => ({ sign: line[0] as DiffLine['sign'], text: line.slice(1) }))

/** Returns the lines between the common beginning and the common end of both texts. */
function changedLines({ old_text, new_text }: z.infer<typeof FileDiff>): DiffLine[] {
  const before = linesOf(old_text)
  const after = linesOf(new_text)
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const between = (lines: string[], sign: DiffLine['sign']): DiffLine[] =>
    lines.slice(start, lines.length - end).map((text) => ({ sign, text }))
  return [...between(before, '-'), ...between(after, '+')]
}

function linesOf(text: string | undefined): string[] {
  if (text === undefined || text === '') return []
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
}

const changes = { edit: 'edited', withdraw: 'withdrew', up: 'moved up' }
const queueText = ({ change, who, text }: AgentUpdateOf<'queue'>): string =>
  `${who ?? 'somebody'} ${changes[change]} a queued prompt${text === undefined ? '' : `: ${firstLine(text)}`}`
