import type { AgentProtocol, ProtocolFailure, ProtocolPort } from '../../agents/agent.ts'
import { clipped } from '../../agents/clipped.ts'
import {
  type AgentUpdate,
  type AgentUpdateOf,
  type AttemptInput,
  MAX_UPDATE_BYTES,
} from '../../contract/agent.ts'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import type { Masker } from '../masking/masker.ts'
import type { AgentPlan } from '../ports.ts'
import { type AnswerValue, answerValue, valueWanted, valueWrong } from './answer-value.ts'
import { boundedUpdate } from './bounded-update.ts'
import { BudgetMeter } from './budget-meter.ts'
import type { Exited, Launched, SessionEvent } from './session-event.ts'
import { pieces, Spoken } from './spoken.ts'
import { ToolCalls } from './tool-calls.ts'
import { UpdateMasker } from './update-masker.ts'

export type Told = Extract<AttemptReport, { type: 'update' | 'input_taken' }>

export type SessionEnd =
  | { type: 'success' }
  | { type: 'canceled' }
  | { type: 'failed'; reason: Reason; message: string }
  | { type: 'lost'; why: string }

export interface SessionOptions {
  plan: AgentPlan
  /** Of the agent, for messages. */
  title: string
  /** Of the agent, as runs name it. */
  agent: string
  /** What is to be reported, in order. */
  tell(item: Told): void
  /** Hides the secrets in what is reported; absent: there are none. */
  masker?: Masker
  /** Text for the step's standard output. */
  say(text: string): void
  connect(launched: Launched, port: Omit<ProtocolPort, 'send'>): AgentProtocol
}

/** down: no process; starting: it shakes hands; ready: it takes a prompt; busy: a turn; ended: a turn is over. */
type Phase = 'down' | 'starting' | 'ready' | 'busy' | 'ended'

interface Prompt {
  id: string
  text: string
  /** What the agent is told, where that is more. */
  whole?: string
  given: boolean
}

const MOST_SHOWN_PROMPT_BYTES = MAX_UPDATE_BYTES / 4

/**
 * A session with an agent: what was asked for, what the agent says, and what follows. It depends on nothing but the
 * lines and events that it is given, in their order, so that giving them again leads to the same state and the same
 * calls of its options. What has to happen in the world stands in its properties; whoever drives it brings that about
 * and tells of it by an event.
 */
export class Session {
  readonly #options: SessionOptions
  readonly #calls: (() => void)[] = []
  readonly #prompts: Prompt[] = []
  readonly #spoken: Spoken
  readonly #masked: UpdateMasker | undefined
  readonly #tools = new ToolCalls()
  readonly #meter: BudgetMeter
  readonly #readValue: ((answer: string) => AnswerValue) | undefined
  readonly #undecided = new Map<string, AgentUpdateOf<'permission'>>()
  readonly #asked = new Map<string, { question: AgentUpdateOf<'permission'>; expiresAt: string }>()
  #phase: Phase = 'down'
  #protocol: AgentProtocol | undefined
  #launches = 0
  #working = false
  #closed = false
  #stopping = false
  #sessionId: string | undefined
  #lastTurn: AgentUpdateOf<'turn_ended'> | undefined
  /** Position of the verify command that is to be run. */
  #verifying: number | undefined
  #failedChecks = 0
  #wrongValues = 0
  #valueJson: string | undefined
  #waitsUntil: string | undefined
  #breach: string | undefined
  #end: SessionEnd | undefined
  #costTold = true

  /** Throws `invalid_argument` for an `output_schema` that is none. */
  constructor(options: SessionOptions) {
    this.#options = options
    const { prompt, output_schema, budget } = options.plan
    this.#meter = new BudgetMeter(budget)
    this.#spoken = new Spoken(options.say)
    this.#masked = options.masker && new UpdateMasker(options.masker, (update) => this.#report(update))
    this.#readValue = output_schema && answerValue(output_schema)
    const whole = output_schema && prompt + valueWanted(output_schema)
    this.#prompts.push({ id: 'first', text: prompt, whole, given: false })
  }

  /** A process is to be begun, with `sessionId` where there is one. */
  get wantsProcess(): boolean {
    return this.#phase === 'down' && this.#prompts.length > 0 && !this.#resting
  }
  get sessionId(): string | undefined {
    return this.#sessionId
  }
  /** Questions of the agent that nobody has looked at. */
  get undecided(): readonly AgentUpdateOf<'permission'>[] {
    return [...this.#undecided.values()]
  }
  /** Questions that a person is to answer, and until when. */
  get asked(): readonly { requestId: string; expiresAt: string }[] {
    return [...this.#asked].map(([requestId, { expiresAt }]) => ({ requestId, expiresAt }))
  }
  /** The command that is to be run now, and which it is of all that were. */
  get verifying(): { command: string; key: string } | undefined {
    if (this.#verifying === undefined || this.#stopping || this.#end) return undefined
    const command = this.#options.plan.verify[this.#verifying]!
    return { command, key: `${this.#launches}.${this.#failedChecks}.${this.#verifying}` }
  }
  /** It has nothing to do, and more may come. */
  get waits(): boolean {
    const quiet = this.#phase === 'ready' || (this.#phase === 'down' && this.#lastTurn !== undefined)
    return quiet && this.#prompts.length === 0 && !this.#resting && this.#options.plan.interactive
  }
  get waitsUntil(): string | undefined {
    return this.#waitsUntil
  }
  /** The agent is at work, and is waited for. */
  get busy(): boolean {
    const works =
      this.#phase === 'starting' || this.#phase === 'busy' || (this.#phase === 'ended' && !this.#resting)
    return works && this.#asked.size === 0
  }
  /** A prompt is with the agent. */
  get inTurn(): boolean {
    return this.#phase === 'busy'
  }
  /** Which limit of the budget is reached. */
  get breach(): string | undefined {
    return this.#breach
  }
  get end(): SessionEnd | undefined {
    return this.#end
  }
  get answer(): string {
    return this.#spoken.answer
  }
  get valueJson(): string | undefined {
    return this.#valueJson
  }
  get changedPaths(): ReadonlySet<string> {
    return this.#tools.changed
  }

  /** A line of the program's standard output. */
  line(text: string): void {
    this.#work(() => this.#protocol?.line(text))
  }

  apply(event: SessionEvent): void {
    this.#work(() => this.#apply(event))
  }

  /** It is over: nothing of a message is held back any more. */
  flush(): void {
    this.#masked?.flush()
  }

  get #resting(): boolean {
    return this.#end !== undefined || this.#stopping || this.#verifying !== undefined
  }

  /** What the protocol calls is done after it has returned, for its calls come one at a time. */
  #work(call: () => void): void {
    this.#calls.push(call)
    if (this.#working) return
    this.#working = true
    try {
      for (let next = this.#calls.shift(); next; next = this.#calls.shift()) {
        next()
        if (this.#calls.length === 0) this.#goOn()
      }
    } finally {
      this.#working = false
    }
  }

  #apply(event: SessionEvent): void {
    switch (event.type) {
      case 'launched':
        return void this.#launched(event)
      case 'found': {
        const { agent } = this.#options
        return void this.#tell({ kind: 'session', agent, session_id: this.#sessionId, origin: 'same' })
      }
      case 'gone':
        return void this.#gone(event.why)
      case 'exited':
        return void this.#exited(event)
      case 'input':
        return void this.#input(event.input)
      case 'asked': {
        const question = this.#undecided.get(event.request_id)
        if (!question || !this.#undecided.delete(event.request_id)) return
        this.#asked.set(event.request_id, { question, expiresAt: event.expires_at })
        return void this.#tell({ ...question, expires_at: event.expires_at })
      }
      case 'decided':
        return void this.#decided(event)
      case 'verified':
        return void this.#verified(event)
      case 'waits':
        this.#waitsUntil = event.until
        return void this.#tell({ kind: 'idle', until: event.until })
      case 'idle_over':
        this.#closed = true
        return
      case 'stop':
        this.#stopping = true
        if (this.#phase === 'busy') this.#cancelTurn()
        return
      case 'note':
        return void this.#tell({ kind: 'notice', text: event.text })
      case 'agent':
        return void this.#update(event.update)
      case 'agent_ready':
        return void this.#ready()
      case 'agent_failed':
        return void this.#protocolFailed(event.failure)
    }
  }

  #launched(event: Launched): void {
    const number = ++this.#launches
    this.#phase = 'starting'
    // A process that is over has no say any more.
    const call = (what: () => void) => {
      if (number === this.#launches) this.#work(what)
    }
    const { connect } = this.#options
    this.#protocol = connect(event, {
      update: (update) => call(() => this.#update(update)),
      ready: () => call(() => this.#ready()),
      failed: (failure) => call(() => this.#protocolFailed(failure)),
    })
    this.#protocol.begin()
  }

  #ready(): void {
    if (this.#phase === 'starting' || this.#phase === 'ended') this.#phase = 'ready'
  }

  #protocolFailed({ reason, message }: ProtocolFailure): void {
    this.#fail(reason, message)
  }

  #update(update: AgentUpdate): void {
    if (update.kind === 'permission') {
      this.#undecided.set(update.request_id, this.#tools.complete(update))
      return
    }
    if (update.kind === 'session') this.#sessionId = update.session_id ?? this.#sessionId
    if (update.kind === 'tool') this.#tools.follow(update)
    if (update.kind === 'usage') this.#noteMissingCost(update)
    if (update.kind === 'message' || update.kind === 'thought')
      for (const text of pieces(update.text)) this.#tell({ kind: update.kind, text })
    else this.#tell(update)
    const breach = this.#meter.follow(update)
    if (breach !== undefined) this.#breach ??= breach
    if (update.kind === 'turn_ended') this.#turnEnded(update)
  }

  #noteMissingCost({ turn }: AgentUpdateOf<'usage'>): void {
    const { plan, title } = this.#options
    if (plan.budget.cost_usd === undefined || turn.cost_usd !== undefined || !this.#costTold) return
    this.#costTold = false
    this.#tell({
      kind: 'notice',
      text: `${title} does not tell what it costs: budget.cost_usd cannot be kept.`,
    })
  }

  #turnEnded(end: AgentUpdateOf<'turn_ended'>): void {
    this.#lastTurn = end
    this.#phase = 'ended'
    this.#dropQuestions()
    this.#tools.turnEnded()
    if (this.#stopping || this.#end) return
    if (end.stop_reason === 'end_turn') {
      if (this.#prompts.length === 0) this.#check()
    } else if (
      !this.#options.plan.interactive &&
      (end.stop_reason !== 'canceled' || this.#prompts.length === 0)
    )
      this.#end = endOf(end)
  }

  /** The agent says that it is done. */
  #check(): void {
    const [command] = this.#options.plan.verify
    if (command === undefined) return void this.#checkValue()
    this.#verifying = 0
    this.#tell({ kind: 'verify', command, status: 'running' })
  }

  #verified({ passed, how, output }: Extract<SessionEvent, { type: 'verified' }>): void {
    const { verify, verify_attempts } = this.#options.plan
    if (this.#verifying === undefined) return
    const command = verify[this.#verifying]!
    this.#tell({ kind: 'verify', command, status: passed ? 'passed' : 'failed', output })
    if (passed) {
      const next = verify[this.#verifying + 1]
      if (next === undefined) {
        this.#verifying = undefined
        if (this.#prompts.length === 0) this.#checkValue()
        return
      }
      this.#verifying++
      return void this.#tell({ kind: 'verify', command: next, status: 'running' })
    }
    this.#verifying = undefined
    this.#failedChecks++
    if (this.#failedChecks >= verify_attempts) {
      const times = this.#failedChecks === 1 ? '' : ` (${this.#failedChecks} attempts)`
      return void this.#fail(
        'verify',
        `\`${command}\` does not pass: ${how}${times}. ${output.slice(-500)}`.trim(),
      )
    }
    const text = `The command \`${command}\` does not pass: ${how}. Make it pass.\n\nIts output ends with:\n\`\`\`\n${output}\n\`\`\``
    this.#prompts.unshift({ id: `verify-${this.#failedChecks}`, text, given: false })
  }

  #checkValue(): void {
    const { output_schema } = this.#options.plan
    const found = this.#readValue?.(this.#spoken.answer)
    if (found === undefined || output_schema === undefined) return
    if ('json' in found) {
      this.#valueJson = found.json
      return
    }
    this.#wrongValues++
    if (this.#wrongValues > 1)
      return void this.#fail('verify', `The answer does not fit output_schema: ${found.wrong}.`)
    this.#prompts.unshift({ id: 'value-1', text: valueWrong(found.wrong, output_schema), given: false })
  }

  #input(input: AttemptInput): void {
    if (input.type === 'prompt') {
      this.#prompts.push({ id: input.input_id, text: input.text, given: true })
      return
    }
    if (input.type === 'permission') {
      const { request_id, decision, who } = input
      if (this.#asked.delete(request_id)) {
        this.#tell({ kind: 'permission_answered', request_id, decision, by: 'person', who })
        this.#protocol?.answer(request_id, decision)
      }
    } else if (input.type === 'close') this.#closed = true
    else if (this.#phase === 'busy') this.#cancelTurn()
    this.#options.tell({ type: 'input_taken', input_id: input.input_id })
  }

  #decided({ type: _, ...answer }: Extract<SessionEvent, { type: 'decided' }>): void {
    const { request_id, decision, by } = answer
    const question = this.#undecided.get(request_id)
    if (!this.#undecided.delete(request_id) && !this.#asked.delete(request_id)) return
    // That everything is allowed needs no trail.
    const silent = by === 'policy' && decision === 'allow'
    if (question && !silent) this.#tell(question)
    if (!silent) this.#tell({ kind: 'permission_answered', ...answer })
    this.#protocol?.answer(request_id, decision)
  }

  #cancelTurn(): void {
    this.#dropQuestions()
    this.#protocol?.cancelTurn()
  }

  #dropQuestions(): void {
    for (const request_id of this.#asked.keys())
      this.#tell({ kind: 'permission_answered', request_id, decision: 'deny', by: 'canceled' })
    this.#asked.clear()
    this.#undecided.clear()
  }

  #gone(why: string): void {
    const mid = this.#phase === 'busy'
    this.#protocol = undefined
    this.#phase = 'down'
    this.#dropQuestions()
    if (mid && !this.#stopping) this.#end ??= { type: 'lost', why }
  }

  #exited({ type: _, ...exit }: Exited): void {
    this.#protocol?.exited(exit)
    // Behind what the protocol makes of it.
    this.#calls.push(() => {
      const before = this.#phase
      this.#protocol = undefined
      this.#phase = 'down'
      this.#dropQuestions()
      if (this.#stopping) return
      const how = exit.signal === undefined ? `exit code ${exit.code ?? 'unknown'}` : exit.signal
      const words = exit.stderr.trim().slice(-2000)
      const ended = `${this.#options.title} ended (${how})`
      if (before === 'starting')
        this.#fail('start_failed', `${ended} before it took a prompt. ${words}`.trim())
      else if (before === 'busy')
        this.#fail('action_failed', `${ended} in the middle of its turn. ${words}`.trim())
      if (this.#end?.type === 'failed' && words !== '' && !this.#end.message.includes(words.slice(-200)))
        this.#tell({ kind: 'notice', text: `Its standard error ends with:\n${words}` })
    })
  }

  #fail(reason: Reason, message: string): void {
    if (!this.#stopping) this.#end ??= { type: 'failed', reason, message }
  }

  /** Hands out the next prompt, or ends, where nothing is under way. */
  #goOn(): void {
    if (this.#resting) return
    if (this.#prompts.length > 0) {
      if (this.#phase === 'ready') this.#prompt(this.#prompts.shift()!)
      return
    }
    if (this.#phase === 'starting' || this.#phase === 'busy') return
    const { interactive } = this.#options.plan
    if (!interactive || this.#closed)
      this.#end = this.#lastTurn ? endOf(this.#lastTurn) : { type: 'canceled' }
  }

  #prompt({ id, text, whole, given }: Prompt): void {
    this.#phase = 'busy'
    this.#waitsUntil = undefined
    this.#spoken.turnBegins()
    this.#meter.turnBegins()
    if (given) this.#failedChecks = 0
    if (given) this.#wrongValues = 0
    const shown = this.#options.masker?.maskText(text) ?? text
    this.#tell({ kind: 'prompt', input_id: id, text: clipped(shown, MOST_SHOWN_PROMPT_BYTES) })
    if (given) this.#options.tell({ type: 'input_taken', input_id: id })
    this.#protocol!.prompt(whole ?? text)
  }

  #tell(update: AgentUpdate): void {
    this.#spoken.follow(update)
    if (this.#masked) this.#masked.tell(update)
    else this.#report(update)
  }

  #report(update: AgentUpdate): void {
    this.#options.tell({ type: 'update', update: boundedUpdate(update) })
  }
}

function endOf({ stop_reason, message, failure }: AgentUpdateOf<'turn_ended'>): SessionEnd {
  switch (stop_reason) {
    case 'end_turn':
      return { type: 'success' }
    case 'canceled':
      return { type: 'canceled' }
    case 'max_turns':
      return failed('budget', message ?? 'The model has had as many turns as it may.')
    case 'max_tokens':
      return failed('model', message ?? 'The answer reached the most tokens that the model gives.')
    case 'refusal':
      return failed('model', message ?? 'The model refused.')
    case 'error':
      if (failure === undefined)
        return failed('action_failed', message ?? 'The agent failed and does not say why.')
      return failed('model', `${failure}: ${message ?? 'the model service failed'}`)
  }
}

const failed = (reason: Reason, message: string): SessionEnd => ({ type: 'failed', reason, message })
