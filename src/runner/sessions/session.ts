import type { AgentProtocol, Attached, ProtocolPort } from '../../agents/agent.ts'
import type { AgentUpdate, AgentUpdateOf, Attachment, AttemptInput } from '../../contract/agent.ts'
import { type AttachmentKind, attachmentKind } from '../../contract/attachment-kind.ts'
import type { Reason } from '../../contract/status.ts'
import { fatalSignal } from '../attempts/verdict.ts'
import type { AgentPlan } from '../ports.ts'
import { EndpointUsage, type EndpointUsageOptions } from './boxed/endpoint-usage.ts'
import { BudgetMeter } from './budget-meter.ts'
import { Checks, type Failed, type Prompt, PromptQueue } from './checks.ts'
import { Denials } from './denials.ts'
import { Questions, ToolCalls } from './questions.ts'
import { endOfExit, endOfTurn, failed, type SessionEnd, unsaidWords } from './session-outcome.ts'
import {
  type Exited,
  type Launched,
  type LogEvent,
  type SessionEvent,
  SessionState,
} from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

/** Opens the protocol with a process that has begun. */
export type Connect = (launched: Launched, port: Omit<ProtocolPort, 'send'>) => AgentProtocol

export interface SessionOptions {
  plan: AgentPlan
  /** Title of the agent, for messages. */
  title: string
  /** Name of the agent, as runs use it. */
  agent: string
  connect: Connect
  /** Receives all updates, and knows the agent's last message. */
  updates: Pick<UpdatePipeline, 'report' | 'prompt' | 'inputTaken' | 'turnBegins' | 'answer'>
  /** Options for the endpoint of its box; absent if there is no box. */
  endpoint?: EndpointUsageOptions
  /** Returns a fetched attachment with its bytes. */
  attached(attachment: Attachment): Attached
  /** Called when the agent has reported its session id. */
  onSessionId(sessionId: string | undefined): void
}

/** After an update of these kinds, the model service has answered. */
const DOES: ReadonlySet<AgentUpdate['kind']> = new Set(['message', 'thought', 'tool', 'turn_ended'])

/**
 * Holds a session with an agent: the requests, what the agent says, and what follows. It depends only on the lines and
 * events that it gets, in their order, so repeating them leads to the same state and the same calls of its options. Its
 * properties say what has to happen in the world; its driver does that, and informs it with an event.
 */
export class Session {
  readonly #options: SessionOptions
  readonly #calls = new SerialCalls(() => this.#goOn())
  readonly #state = new SessionState()
  readonly #prompts: PromptQueue
  readonly #questions: Questions
  readonly #checks: Checks
  readonly #tools = new ToolCalls()
  readonly #meter: BudgetMeter
  readonly denials: Denials
  readonly #endpoint: EndpointUsage | undefined
  #protocol: AgentProtocol | undefined
  #launches = 0
  #sessionId: string | undefined
  /** Kinds of attachments that the agent accepts. */
  #takes: readonly AttachmentKind[] = []
  /** Model that a person has chosen since. */
  #model: string | undefined
  /** Model to switch to once the agent is there. */
  #nextModel: Extract<AttemptInput, { type: 'model' }> | undefined
  #retry: AgentUpdateOf<'retry'> | undefined
  #waitsUntil: string | undefined
  /** Set when no more prompts are to come. */
  #closed: boolean
  #lastTurn: AgentUpdateOf<'turn_ended'> | undefined
  #end: SessionEnd | undefined

  /** Opens a session. Throws `invalid_argument`. */
  constructor(options: SessionOptions) {
    const { plan, updates } = options
    this.#options = options
    this.#closed = !plan.interactive
    this.#prompts = new PromptQueue(plan)
    this.#meter = new BudgetMeter(plan.budget)
    this.denials = new Denials(plan)
    this.#questions = new Questions(updates, this.denials)
    this.#checks = new Checks(plan, this.#prompts, updates)
    this.#endpoint = options.endpoint && new EndpointUsage(options.endpoint)
  }

  /** Tells whether a process is to begin, with `sessionId` if there is one. */
  get needsProcess(): boolean {
    return this.#state.agent === 'down' && !this.#prompts.empty && !this.#state.resting
  }
  get sessionId(): string | undefined {
    return this.#sessionId
  }
  /** Questions of the agent that nobody has decided. */
  get undecided(): readonly AgentUpdateOf<'permission'>[] {
    return this.#questions.undecided
  }
  /** Returns who has allowed it for the rest of the session, if anybody. */
  granted(question: AgentUpdateOf<'permission'>): string | undefined {
    return this.#questions.granted(question)
  }
  /** Questions that a person is to answer, and until when. */
  get openQuestions(): readonly { requestId: string; expiresAt: string }[] {
    return this.#questions.requested
  }
  /** Command that is to run now, and its number among all that were to run. */
  get verifying(): { command: string; number: number } | undefined {
    return this.#state.over ? undefined : this.#checks.verifying
  }
  /** Tells whether the session has nothing to do, but more may come. */
  get waits(): boolean {
    const { agent, resting } = this.#state
    const quiet = agent === 'ready' || (agent === 'down' && this.#lastTurn !== undefined)
    return quiet && this.#prompts.empty && !resting && this.#options.plan.interactive
  }
  get waitsUntil(): string | undefined {
    return this.#waitsUntil
  }
  /** Tells whether the agent works and is waited for. */
  get busy(): boolean {
    const { agent, resting } = this.#state
    const works = agent === 'starting' || agent === 'busy' || (agent === 'ended' && !resting)
    return works && !this.#questions.waits
  }
  /** Tells whether a prompt is with the agent. */
  get inTurn(): boolean {
    return this.#state.agent === 'busy'
  }
  /** Failure of the model service, if the agent has done nothing since. */
  get retry(): AgentUpdateOf<'retry'> | undefined {
    return this.#retry
  }
  /** Text that says which limit of the budget is reached. */
  get breach(): string | undefined {
    return this.#meter.breach ?? this.#endpoint?.breach
  }
  get end(): SessionEnd | undefined {
    return this.#end
  }
  /** Model that the session was switched to, if it was. */
  get model(): string | undefined {
    return this.#model
  }
  get answer(): string {
    return this.#options.updates.answer
  }
  get valueJson(): string | undefined {
    return this.#checks.valueJson
  }
  get changedPaths(): ReadonlySet<string> {
    return this.#tools.changed
  }

  /** Takes a line of the program's standard output. */
  line(text: string): void {
    this.#calls.add(() => this.#protocol?.line(text))
  }

  apply(event: SessionEvent): void {
    this.#calls.add(() => this.#apply(event))
  }

  #apply(event: SessionEvent): void {
    const { updates } = this.#options
    switch (event.type) {
      case 'launched':
        return void this.#connect(event)
      case 'found':
        return void this.#found()
      case 'gone':
        return void this.#gone(event.why)
      case 'exited':
        return void this.#exited(event)
      case 'input':
        return void this.#input(event.input)
      case 'asked':
        return void this.#questions.ask(event)
      case 'decided':
        if (this.#questions.decide(event)) this.#protocol?.answer(event.request_id, event.decision)
        return
      case 'verified':
        return void this.#checked(this.#checks.verified(event))
      case 'waits':
        this.#waitsUntil = event.until
        return void updates.report({ kind: 'idle', until: event.until })
      case 'idle_over':
        this.#closed = true
        return
      case 'stop':
        this.#state.move('stopped')
        return void this.#cancelTurn()
      case 'note':
        return void updates.report({ kind: 'notice', text: event.text })
      case 'told':
        return void this.#takeLog(event)
    }
  }

  /** Takes news of the box's endpoint. */
  #takeLog({ lines, last }: LogEvent): void {
    for (const update of this.#endpoint?.follow(lines, last === true) ?? []) {
      this.#options.updates.report(update)
      this.#meter.follow(update)
    }
  }

  #connect(launched: Launched): void {
    const number = ++this.#launches
    this.#state.move('launched')
    // Calls of a process that is over are ignored.
    const call = (what: () => void) => {
      if (number === this.#launches) this.#calls.add(what)
    }
    this.#protocol = this.#options.connect(launched, {
      update: (update) => call(() => this.#update(update)),
      ready: () =>
        call(() => {
          this.#state.move('ready')
          const nextModel = this.#nextModel
          this.#nextModel = undefined
          if (nextModel !== undefined) this.#switch(nextModel)
        }),
      failed: ({ reason, message }) => call(() => this.#fail(reason, message)),
    })
    this.#protocol.begin()
  }

  #found(): void {
    const { agent, updates, onSessionId } = this.#options
    onSessionId(this.#sessionId)
    updates.report({ kind: 'session', agent, session_id: this.#sessionId, origin: 'same' })
  }

  #update(update: AgentUpdate): void {
    const { updates, onSessionId } = this.#options
    if (update.kind === 'permission') return void this.#questions.come(this.#tools.complete(update))
    if (update.kind === 'retry') this.#retry = update
    else if (DOES.has(update.kind)) this.#retry = undefined
    if (update.kind === 'session') {
      this.#sessionId = update.session_id ?? this.#sessionId
      this.#takes = update.takes ?? this.#takes
      onSessionId(update.session_id)
    } else if (update.kind === 'tool') {
      this.#tools.follow(update)
      this.denials.follow(update)
    } else if (update.kind === 'usage') {
      if (this.#endpoint?.agentReports(update) === 'instead') return
      this.#warnOfCost(update)
    }
    updates.report(update)
    this.#meter.follow(update)
    if (update.kind === 'turn_ended') this.#turnEnded(update)
  }

  #warnOfCost(usage: AgentUpdateOf<'usage'>): void {
    if (this.#endpoint?.counts || !this.#meter.findsNoCost(usage)) return
    const text = `${this.#options.title} does not report its cost, so budget.cost_usd cannot be enforced.`
    this.#options.updates.report({ kind: 'notice', text })
  }

  #turnEnded(turn: AgentUpdateOf<'turn_ended'>): void {
    this.#state.move('turn_ended')
    this.#questions.drop()
    this.#tools.turnEnded()
    this.#settleTurn(turn)
    if (turn.stop_reason === 'end_turn' && !this.#state.over) this.#checked(this.#checks.begin())
  }

  /** Settles a finished turn; a turn that a person canceled does not end the session if prompts are left. */
  #settleTurn(turn: AgentUpdateOf<'turn_ended'>): void {
    this.#lastTurn = turn
    if (turn.stop_reason === 'end_turn' || this.#options.plan.interactive) return
    if (turn.stop_reason !== 'canceled' || this.#prompts.empty) this.#settle(endOfTurn(turn))
  }

  #input(input: AttemptInput): void {
    if (input.type === 'prompt') {
      this.#prompts.give(input)
      if (input.now) this.#cancelTurn()
      return
    }
    if (input.type === 'queue') this.#change(input)
    else if (input.type === 'model') this.#switch(input)
    else if (input.type === 'permission') this.#answer(input)
    else if (input.type === 'close') this.#closed = true
    else this.#cancelTurn()
    this.#options.updates.inputTaken(input.input_id)
  }

  #answer(input: Extract<AttemptInput, { type: 'permission' }>): void {
    const question = this.#questions.answer(input)
    if (question === undefined) return
    const { request_id, decision, reason, input_id, input: edited } = input
    this.#protocol?.answer(request_id, decision, reason, edited)
    if (decision === 'allow' || reason === undefined || this.#protocol?.takesReasons) return
    this.#prompts.explain(`${input_id}.reason`, `"${question.title}" was denied, for this reason: ${reason}`)
  }

  #change(input: Extract<AttemptInput, { type: 'queue' }>): void {
    const { type: _, ...fields } = input
    const done = this.#prompts.change(input)
    this.#options.updates.report({ kind: 'queue', ...fields, done })
    if (done && input.change === 'withdraw') this.#options.updates.inputTaken(input.prompt_id)
  }

  #switch(input: Extract<AttemptInput, { type: 'model' }>): void {
    const { model, who } = input
    const { updates } = this.#options
    const switched = (refused?: string) => {
      if (refused === undefined) this.#model = model
      updates.report({ kind: 'model', model, who, refused })
    }
    const { agent } = this.#state
    // The next process begins with it.
    if (this.#protocol === undefined || agent === 'down') switched()
    else if (agent === 'starting') this.#nextModel = input
    else if (this.#protocol.setModel)
      this.#protocol.setModel(model, (no) => this.#calls.add(() => switched(no)))
    else switched('it cannot change its model during a session')
  }

  #cancelTurn(): void {
    if (this.verifying) this.#cancelChecks()
    if (!this.inTurn) return
    this.#questions.drop()
    this.#protocol?.cancelTurn()
  }

  /** Cancels the checks. The agent has ended its turn, and is not involved. */
  #cancelChecks(): void {
    const turn = { kind: 'turn_ended', stop_reason: 'canceled' } as const
    this.#checks.drop()
    this.#state.move('checked')
    this.#options.updates.report(turn)
    this.#settleTurn(turn)
  }

  /** Moves on after a check; `wrong` says why the session has failed by the checks, if it has. */
  #checked(wrong: Failed | undefined): void {
    this.#state.move(this.#checks.verifying ? 'verify' : 'checked')
    if (wrong !== undefined) this.#fail(wrong.reason, wrong.message)
  }

  #gone(why: string): void {
    const mid = this.inTurn
    this.#processOver()
    if (mid) this.#settle({ type: 'lost', why })
  }

  #exited(exit: Exited): void {
    const { type: _, ...how } = exit
    const before = this.#end
    this.#protocol?.exited(how)
    // After what the protocol makes of it.
    this.#calls.add(() => {
      const { agent } = this.#state
      this.#processOver()
      if (this.#state.work === 'stopped') return
      const { title, updates } = this.#options
      this.#settle(endOfExit(title, exit, agent))
      if (before === undefined && this.#end?.type === 'failed') this.#end.signal = fatalSignal(exit)
      const words = unsaidWords(exit, this.#end)
      if (words !== undefined)
        updates.report({ kind: 'notice', text: `Its standard error ends with:\n${words}` })
    })
  }

  #processOver(): void {
    this.#protocol = undefined
    this.#state.move('process_over')
    this.#questions.drop()
  }

  #fail(reason: Reason, message: string): void {
    this.#settle(failed(reason, message))
  }

  /** Settles the end: the first cause wins, and a session that is stopped has no end of its own. */
  #settle(end: SessionEnd | undefined): void {
    if (end && this.#state.move('settled')) this.#end = end
  }

  /** Gives out the next prompt, or ends the session, if nothing else is in progress. */
  #goOn(): void {
    const { agent, resting } = this.#state
    if (resting) return
    if (this.#prompts.empty) {
      if (agent !== 'starting' && agent !== 'busy') this.#nothingLeft()
    } else if (agent === 'ready') this.#prompt(this.#prompts.take()!)
  }

  #nothingLeft(): void {
    if (!this.#closed) return
    const end: SessionEnd = this.#lastTurn ? endOfTurn(this.#lastTurn) : { type: 'canceled' }
    const { failure } = this.denials
    this.#settle(end.type === 'success' && failure !== undefined ? failed('denied', failure) : end)
  }

  #prompt({ id, text, whole, given, attachments = [] }: Prompt): void {
    const { updates, title } = this.#options
    const refused = attachments.find(({ media_type }) => !this.#takes.includes(attachmentKind(media_type)))
    if (refused !== undefined) {
      const { name, media_type } = refused
      const takes = this.#takes.length === 0 ? 'none' : this.#takes.join(', ')
      const message = `${title} does not accept the attachment "${name}" (${media_type}). It accepts: ${takes}. It received no prompt.`
      return void this.#fail('invalid_argument', message)
    }
    this.#state.move('prompted')
    this.#waitsUntil = undefined
    updates.turnBegins()
    this.#meter.turnBegins()
    this.#endpoint?.turnBegins()
    this.denials.turnBegins()
    if (given) {
      this.#checks.startTurn()
      this.denials.startTurn()
    }
    updates.prompt(id, text, attachments)
    if (given) updates.inputTaken(id)
    this.#protocol!.prompt(
      whole ?? text,
      attachments.map((attachment) => this.#options.attached(attachment)),
    )
  }
}

/** Runs calls one at a time: a call requested during a call runs after it has returned. */
class SerialCalls {
  readonly #calls: (() => void)[] = []
  readonly #onDone: () => void
  #working = false

  /** Takes `onDone`, which runs when no call is left, and may request more. */
  constructor(onDone: () => void) {
    this.#onDone = onDone
  }

  add(call: () => void): void {
    this.#calls.push(call)
    if (this.#working) return
    this.#working = true
    try {
      for (let next = this.#calls.shift(); next; next = this.#calls.shift()) {
        next()
        if (this.#calls.length === 0) this.#onDone()
      }
    } finally {
      this.#working = false
    }
  }
}
