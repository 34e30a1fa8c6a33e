import type {
  AgentModel,
  AgentUpdate,
  AgentUpdateOf,
  Attachment,
  FileDiff,
  Usage,
} from '../../src/contract/agent.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import { wordsOf } from '../data/page-words.ts'

export type Question = AgentUpdateOf<'permission'> & { askedAt: string; agent: string | undefined }
type Answer = AgentUpdateOf<'permission_answered'>

interface Base {
  /** Stays the same while the row grows. */
  key: string
  time: string
}
export type Row = Base &
  (
    | {
        kind: 'prompt'
        text: string
        by: string | undefined
        turn: number
        attachments: readonly Attachment[]
      }
    | { kind: 'message'; text: string }
    | { kind: 'thought'; text: string; until: string }
    | {
        kind: 'tool'
        title: string | undefined
        toolKind: string | undefined
        status: string
        input: string | undefined
        output: string | undefined
        diffs: readonly FileDiff[]
        paths: readonly string[]
        until: string
      }
    | { kind: 'verify'; command: string; status: string; output: string | undefined; until: string }
    | { kind: 'note'; text: string; tone: 'plain' | 'warning' | 'bad' }
    | {
        kind: 'answered'
        id: string
        title: string
        decision: 'allow' | 'deny'
        by: string
        reason: string | undefined
        input: string | undefined
      }
  )
export type RowOf<K extends Row['kind']> = Extract<Row, { kind: K }>

export interface Queued {
  inputId: string
  text: string
  by: string | undefined
  /** Number of files sent with it. */
  attachments: number
}

/** Names one of a run's sessions: that of a step, or that of one of its attempts. */
export interface Which {
  step?: string | undefined
  attempt?: number | undefined
}

/**
 * A session, built from its events: the rows to show, the open questions and the queue. Each event is added once, in
 * order.
 */
export class Conversation {
  rows: readonly Row[] = []
  readonly #rows: Row[] = []
  readonly #at = new Map<string, number>()
  readonly #questions = new Map<string, Question>()
  readonly #requested = new Map<string, Question>()
  #queue = new Map<string, Queued>()
  readonly #givers = new Map<string, string | undefined>()
  readonly #owner: string
  readonly #which: Which
  #read = 0
  #changed = false
  questions: readonly Question[] = []
  queue: readonly Queued[] = []
  agent: string | undefined
  version: string | undefined
  model: string | undefined
  /** Models that the agent lets a person choose from. */
  models: readonly AgentModel[] = []
  /** Number of the agent's answers to a choice of its model. */
  modelAnswers = 0
  /** The agent can start a branch of the session. */
  forks = false
  usage: Usage | undefined
  plan: AgentUpdateOf<'plan'>['entries'] = []
  turns = 0
  /**
   * Turns of the model in this attempt, as far as the agent shows them: a message or call after all tools have ended
   * begins a turn.
   */
  modelTurns = 0
  readonly #toolsOpen = new Set<string>()
  #toolsOver = true
  /** The agent works on a prompt, or its work is verified. */
  busy = false
  /** Time until which the agent waits for a prompt; undefined if it does not wait. */
  idleUntil: string | undefined
  startedAt: string | undefined
  /** Increases with each change. */
  state = 0

  constructor(owner: string, which: Which) {
    this.#owner = owner
    this.#which = which
  }

  /** Adds the new events of a list that only grows, and returns the number of the state. */
  readOn(events: readonly RunEvent[]): number {
    for (; this.#read < events.length; this.#read++) this.#add(events[this.#read]!)
    if (!this.#changed) return this.state
    this.#changed = false
    this.rows = [...this.#rows]
    this.questions = [...this.#questions.values()]
    this.queue = [...this.#queue.values()]
    return ++this.state
  }

  #add(event: RunEvent): void {
    const { step, attempt } = this.#which
    if ('attempt' in event && attempt !== undefined && event.attempt !== attempt) return
    if ('step' in event && step !== undefined && event.step !== step) return
    switch (event.type) {
      case 'agent.update':
        this.#update(event.update, event.time, event.seq)
        break
      case 'attempt.started':
        this.startedAt ??= event.time
        this.modelTurns = 0
        break
      case 'attempt.phase':
        // The phase says why there is no box, or which other kind it is.
        if (event.phase !== 'isolation' || event.message === undefined) return
        this.#note(event.message, 'plain', event)
        break
      case 'input.given': {
        const { input } = event
        this.#givers.set(input.input_id, event.by)
        if (input.type === 'prompt') {
          const { input_id, text, attachments = [], now } = input
          const queued = { inputId: input_id, text, by: event.by, attachments: attachments.length }
          this.#queue = new Map(
            now ? [[input_id, queued], ...this.#queue] : [...this.#queue, [input_id, queued]],
          )
        }
        if (input.type === 'permission') this.#questions.delete(input.request_id)
        break
      }
      case 'input.taken':
        this.#queue.delete(event.input_id)
        break
      case 'input.passed_on':
      case 'input.dropped': {
        const queued = this.#queue.get(event.input_id)
        this.#queue.delete(event.input_id)
        const what = queued === undefined ? 'A prompt' : `“${short(queued.text)}”`
        this.#note(
          event.type === 'input.dropped'
            ? `${what} was not delivered: ${event.message}`
            : `${what} came too late for this run. ${event.run_id} continues with it.`,
          'warning',
          event,
        )
        break
      }
      case 'attempt.finished':
        this.#over()
        if (event.outcome !== 'success' && event.message !== undefined)
          this.#note(event.message, event.outcome === 'canceled' ? 'plain' : 'bad', event)
        break
      case 'run.cancel_requested':
        this.#note(`Canceled by ${event.by ?? 'the hub'}.`, 'plain', event)
        break
      case 'run.finished':
        this.#over()
        break
      default:
        return
    }
    this.#changed = true
  }

  #over(): void {
    this.busy = false
    this.idleUntil = undefined
    this.#questions.clear()
  }

  #update(update: AgentUpdate, time: string, seq: number): void {
    const key = String(seq)
    this.#countTurns(update)
    // All other updates end the wait for a prompt.
    if (!['idle', 'session', 'model', 'queue'].includes(update.kind)) this.idleUntil = undefined
    switch (update.kind) {
      case 'session':
        this.agent = update.agent
        this.version = update.version ?? this.version
        this.model = update.model ?? this.model
        this.models = update.models ?? this.models
        this.forks = update.forks ?? this.forks
        return
      case 'model': {
        this.modelAnswers++
        const { model, who = 'Someone', refused } = update
        if (refused === undefined) this.model = model
        const text =
          refused === undefined
            ? `${who} switched the model to ${model}.`
            : `The model was not switched to ${model}: ${refused}`
        return void this.#note(text, refused === undefined ? 'plain' : 'warning', { seq, time })
      }
      case 'queue':
        return void this.#requeue(update, { seq, time })
      case 'prompt':
        this.busy = true
        this.turns++
        this.#queue.delete(update.input_id)
        return void this.#push({
          ...{ kind: 'prompt', key, time, text: update.text, turn: this.turns },
          attachments: update.attachments ?? [],
          // Some agents receive the reason of a refusal as a prompt of its own.
          by:
            update.input_id === 'first'
              ? this.#owner
              : this.#givers.get(update.input_id.replace(/\.reason$/, '')),
        })
      case 'message':
      case 'thought': {
        const last = this.#rows.at(-1)
        if (last?.kind === 'message' && update.kind === 'message')
          return void this.#replace(last.key, { ...last, text: last.text + update.text })
        if (last?.kind === 'thought' && update.kind === 'thought')
          return void this.#replace(last.key, { ...last, text: last.text + update.text, until: time })
        if (update.text.trim() === '') return
        if (update.kind === 'message')
          return void this.#push({ kind: 'message', key, time, text: update.text })
        return void this.#push({ kind: 'thought', key, time, text: update.text, until: time })
      }
      case 'tool':
        return void this.#tool(update, time)
      case 'verify': {
        const last = this.#rows.at(-1)
        const { command, status, output } = update
        if (last?.kind === 'verify' && last.command === command && last.status === 'running')
          return void this.#replace(last.key, { ...last, status, output, until: time })
        return void this.#push({ kind: 'verify', key, time, command, status, output, until: time })
      }
      case 'plan':
        this.plan = update.entries
        return
      case 'usage':
        this.usage = update.session
        return
      case 'permission': {
        const question = { ...update, askedAt: time, agent: this.agent }
        this.#requested.set(update.request_id, question)
        if (update.expires_at !== undefined) this.#questions.set(update.request_id, question)
        return
      }
      case 'permission_answered':
        this.#questions.delete(update.request_id)
        // An answer by a rule that allows gets no row of its own.
        if (
          update.decision === 'allow' &&
          !update.rule?.startsWith('for this session') &&
          (update.by === 'rule' || update.by === 'policy')
        )
          return
        return void this.#push({
          ...{
            kind: 'answered',
            id: update.request_id,
            key,
            time,
            decision: update.decision,
            by: answerer(update),
          },
          reason: update.reason,
          input: update.input,
          title: this.#requested.get(update.request_id)?.title ?? 'A tool',
        })
      case 'retry':
        return void this.#note(
          `The model service failed (${update.failure}). The agent is retrying: ${update.message}`,
          'warning',
          { seq, time },
        )
      case 'turn_ended':
        this.busy = false
        if (update.stop_reason === 'end_turn') return
        if (update.stop_reason === 'canceled')
          return void this.#note('The turn was stopped.', 'plain', { seq, time })
        return void this.#note(update.message ?? `The turn ended: ${wordsOf(update.stop_reason)}.`, 'bad', {
          seq,
          time,
        })
      case 'idle':
        this.busy = false
        this.idleUntil = update.until
        return
      case 'notice':
        return void this.#note(update.text, 'plain', { seq, time })
    }
  }

  /** Counts turns as the runner does; the runner's count ends the run. */
  #countTurns(update: AgentUpdate): void {
    let works = update.kind === 'message' || update.kind === 'thought'
    if (update.kind === 'prompt') {
      this.#toolsOpen.clear()
      this.#toolsOver = true
    } else if (update.kind === 'tool') {
      const { tool_id, status = '' } = update
      const isOver = ['completed', 'failed', 'denied'].includes(status)
      works = !this.#toolsOpen.has(tool_id)
      if (!isOver) this.#toolsOpen.add(tool_id)
      else this.#toolsOpen.delete(tool_id)
    }
    if (works && this.#toolsOver) this.modelTurns++
    if (works) this.#toolsOver = false
    if (update.kind === 'tool' && this.#toolsOpen.size === 0) this.#toolsOver = true
  }

  #requeue(update: AgentUpdateOf<'queue'>, at: { seq: number; time: string }): void {
    const { prompt_id, change, text, who = 'Someone', done } = update
    const queued = this.#queue.get(prompt_id)
    if (!done || queued === undefined) return
    if (change === 'edit') this.#queue.set(prompt_id, { ...queued, text: text ?? queued.text })
    else if (change === 'withdraw') {
      this.#queue.delete(prompt_id)
      this.#note(`${who} withdrew “${short(queued.text)}”.`, 'plain', at)
    } else {
      const order = [...this.#queue]
      const place = order.findIndex(([id]) => id === prompt_id)
      order.splice(Math.max(0, place - 1), 0, ...order.splice(place, 1))
      this.#queue = new Map(order)
    }
  }

  #tool(update: AgentUpdateOf<'tool'>, time: string): void {
    const key = `tool ${this.turns} ${update.tool_id}`
    const at = this.#at.get(key)
    const before = at === undefined ? undefined : (this.#rows[at] as RowOf<'tool'>)
    // A denied call is also reported as failed.
    const status = before?.status === 'denied' ? 'denied' : (update.status ?? before?.status ?? 'pending')
    const row: Row = {
      kind: 'tool',
      key,
      time: before?.time ?? time,
      until: time,
      title: update.title ?? before?.title,
      toolKind: update.tool_kind ?? before?.toolKind,
      status,
      input: update.input ?? before?.input,
      output: update.output ?? before?.output,
      diffs: update.diffs ?? before?.diffs ?? [],
      paths: update.paths ?? before?.paths ?? [],
    }
    if (before === undefined) this.#push(row)
    else this.#replace(key, row)
  }

  #note(text: string, tone: RowOf<'note'>['tone'], { seq, time }: { seq: number; time: string }): void {
    this.#push({ kind: 'note', key: String(seq), time, text, tone })
  }
  #push(row: Row): void {
    this.#at.set(row.key, this.#rows.length)
    this.#rows.push(row)
  }
  #replace(key: string, row: Row): void {
    this.#rows[this.#at.get(key)!] = row
  }
}

const short = (text: string): string => (text.length <= 60 ? text : `${text.slice(0, 59)}…`)

/** Names who answered a question: a name or a word. */
function answerer({ by, who, rule, scope }: Answer): string {
  if (who !== undefined) return scope === undefined ? who : `${who}, for this session`
  const words = {
    person: 'a person',
    rule: rule === undefined ? 'a rule' : `the rules (${rule})`,
    policy: 'its permissions',
    timeout: 'default (nobody answered in time)',
    canceled: 'the end of the turn',
    nobody: 'default (nobody could be asked)',
  }
  return words[by]
}

/** A row as it is shown: more than six successful tool calls in a row form one group. */
export type Shown = Row | { kind: 'group'; key: string; rows: readonly RowOf<'tool'>[] }

export function grouped(rows: readonly Row[]): Shown[] {
  const shown: Shown[] = []
  let calls: RowOf<'tool'>[] = []
  const flush = () => {
    if (calls.length > 6) shown.push({ kind: 'group', key: `group ${calls[0]!.key}`, rows: calls })
    else shown.push(...calls)
    calls = []
  }
  for (const row of rows) {
    if (row.kind === 'tool' && row.status === 'completed') calls.push(row)
    else {
      flush()
      shown.push(row)
    }
  }
  flush()
  return shown
}
