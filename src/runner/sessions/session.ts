import type { AgentUpdate, AgentUpdateOf, AttemptInput } from '../../contract/agent.ts'
import type { Reason } from '../../contract/status.ts'
import type { AgentPlan } from '../ports.ts'
import { AgentUpdates } from './agent-updates.ts'
import { Checks } from './checks.ts'
import { type Connect, Conversation } from './conversation.ts'
import { Denials } from './denials.ts'
import { Finish } from './finish.ts'
import { type Prompt, PromptQueue } from './prompt-queue.ts'
import { Questions } from './questions.ts'
import { SerialCalls } from './serial-calls.ts'
import { endOfExit, failed, type SessionEnd, unsaidWords } from './session-end.ts'
import type { Exited, SessionEvent } from './session-event.ts'
import { UpdateTeller, type UpdateTellerOptions } from './update-teller.ts'

export interface SessionOptions extends UpdateTellerOptions {
  plan: AgentPlan
  /** Of the agent, for messages. */
  title: string
  /** Of the agent, as runs name it. */
  agent: string
  connect: Connect
}

/**
 * A session with an agent: what was asked for, what the agent says, and what follows. It depends on nothing but the
 * lines and events that it is given, in their order, so that giving them again leads to the same state and the same
 * calls of its options. What has to happen in the world stands in its properties; whoever drives it brings that about
 * and tells of it by an event.
 */
export class Session {
  readonly #options: SessionOptions
  readonly #calls = new SerialCalls(() => this.#goOn())
  readonly #conversation: Conversation
  readonly #teller: UpdateTeller
  readonly #prompts: PromptQueue
  readonly #questions: Questions
  readonly #checks: Checks
  readonly #updates: AgentUpdates
  readonly #finish: Finish
  readonly denials: Denials
  #waitsUntil: string | undefined

  /** Throws `invalid_argument`. */
  constructor(options: SessionOptions) {
    const { plan, connect } = options
    this.#options = options
    this.#conversation = new Conversation({
      connect,
      calls: this.#calls,
      port: {
        update: (update) => this.#update(update),
        failed: ({ reason, message }) => this.#fail(reason, message),
      },
    })
    this.#teller = new UpdateTeller(options)
    this.#prompts = new PromptQueue(plan)
    this.denials = new Denials(plan)
    this.#questions = new Questions(this.#teller, this.denials)
    this.#checks = new Checks(plan, this.#prompts, this.#teller)
    this.#updates = new AgentUpdates(options, this.#teller, this.#questions, this.denials)
    this.#finish = new Finish(plan.interactive, () => {
      const { failure } = this.denials
      return failure === undefined ? undefined : failed('denied', failure)
    })
  }

  /** A process is to be begun, with `sessionId` where there is one. */
  get wantsProcess(): boolean {
    return this.#conversation.phase === 'down' && !this.#prompts.empty && !this.#resting
  }
  get sessionId(): string | undefined {
    return this.#updates.sessionId
  }
  /** Questions of the agent that nobody has looked at. */
  get undecided(): readonly AgentUpdateOf<'permission'>[] {
    return this.#questions.undecided
  }
  /** Questions that a person is to answer, and until when. */
  get asked(): readonly { requestId: string; expiresAt: string }[] {
    return this.#questions.asked
  }
  /** The command that is to be run now, and which it is of all that were. */
  get verifying(): { command: string; number: number } | undefined {
    return this.#finish.over ? undefined : this.#checks.verifying
  }
  /** It has nothing to do, and more may come. */
  get waits(): boolean {
    const { phase } = this.#conversation
    const quiet = phase === 'ready' || (phase === 'down' && this.#finish.hadTurn)
    return quiet && this.#prompts.empty && !this.#resting && this.#options.plan.interactive
  }
  get waitsUntil(): string | undefined {
    return this.#waitsUntil
  }
  /** The agent is at work, and is waited for. */
  get busy(): boolean {
    const { phase } = this.#conversation
    const works = phase === 'starting' || phase === 'busy' || (phase === 'ended' && !this.#resting)
    return works && !this.#questions.waits
  }
  /** A prompt is with the agent. */
  get inTurn(): boolean {
    return this.#conversation.phase === 'busy'
  }
  /** The model service has failed, and nothing came since of what the agent does. */
  get retry(): AgentUpdateOf<'retry'> | undefined {
    return this.#updates.retry
  }
  /** Which limit of the budget is reached. */
  get breach(): string | undefined {
    return this.#updates.breach
  }
  get end(): SessionEnd | undefined {
    return this.#finish.end
  }
  get answer(): string {
    return this.#teller.answer
  }
  get valueJson(): string | undefined {
    return this.#checks.valueJson
  }
  get changedPaths(): ReadonlySet<string> {
    return this.#updates.changedPaths
  }

  /** A line of the program's standard output. */
  line(text: string): void {
    this.#calls.add(() => this.#conversation.line(text))
  }

  apply(event: SessionEvent): void {
    this.#calls.add(() => this.#apply(event))
  }

  /** It is over: nothing of a message is held back any more. */
  flush(): void {
    this.#teller.flush()
  }

  /** Nothing more is asked of the agent, for ever or until the checks are through. */
  get #resting(): boolean {
    return this.#finish.over || this.#checks.verifying !== undefined
  }

  #apply(event: SessionEvent): void {
    switch (event.type) {
      case 'launched':
        return void this.#conversation.launched(event)
      case 'found': {
        const { agent } = this.#options
        const session_id = this.sessionId
        return void this.#teller.tell({ kind: 'session', agent, session_id, origin: 'same' })
      }
      case 'gone':
        return void this.#gone(event.why)
      case 'exited':
        return void this.#exited(event)
      case 'input':
        return void this.#input(event.input)
      case 'asked':
        return void this.#questions.ask(event)
      case 'decided':
        if (this.#questions.decide(event)) this.#conversation.answer(event.request_id, event.decision)
        return
      case 'verified':
        return void this.#fail('verify', this.#checks.verified(event))
      case 'waits':
        this.#waitsUntil = event.until
        return void this.#teller.tell({ kind: 'idle', until: event.until })
      case 'idle_over':
        return void this.#finish.close()
      case 'stop':
        this.#finish.stop()
        return void this.#cancelTurn()
      case 'note':
        return void this.#teller.tell({ kind: 'notice', text: event.text })
    }
  }

  #update(update: AgentUpdate): void {
    this.#updates.take(update)
    if (update.kind === 'turn_ended') this.#turnEnded(update)
  }

  #turnEnded(turn: AgentUpdateOf<'turn_ended'>): void {
    this.#conversation.turnEnded()
    this.#updates.turnEnded()
    this.#finish.turnEnded(turn, !this.#prompts.empty)
    if (turn.stop_reason === 'end_turn' && !this.#finish.over) this.#fail('verify', this.#checks.begin())
  }

  #input(input: AttemptInput): void {
    if (input.type === 'prompt') return void this.#prompts.give(input.input_id, input.text)
    if (input.type === 'permission') {
      if (this.#questions.answer(input)) this.#conversation.answer(input.request_id, input.decision)
    } else if (input.type === 'close') this.#finish.close()
    else this.#cancelTurn()
    this.#teller.inputTaken(input.input_id)
  }

  #cancelTurn(): void {
    if (this.verifying) this.#cancelChecks()
    if (!this.inTurn) return
    this.#questions.drop()
    this.#conversation.cancelTurn()
  }

  /** The agent has ended its turn, and has nothing to do with them. */
  #cancelChecks(): void {
    const turn = { kind: 'turn_ended', stop_reason: 'canceled' } as const
    this.#checks.drop()
    this.#teller.tell(turn)
    this.#finish.turnEnded(turn, !this.#prompts.empty)
  }

  #gone(why: string): void {
    const mid = this.inTurn
    this.#conversation.over()
    this.#questions.drop()
    if (mid) this.#finish.settle({ type: 'lost', why })
  }

  #exited(exit: Exited): void {
    this.#conversation.exited(exit)
    // Behind what the protocol makes of it.
    this.#calls.add(() => {
      const { phase } = this.#conversation
      this.#conversation.over()
      this.#questions.drop()
      if (this.#finish.stopped) return
      this.#finish.settle(endOfExit(this.#options.title, exit, phase))
      const words = unsaidWords(exit, this.#finish.end)
      if (words !== undefined)
        this.#teller.tell({ kind: 'notice', text: `Its standard error ends with:\n${words}` })
    })
  }

  /** With no message it has not failed. */
  #fail(reason: Reason, message: string | undefined): void {
    if (message !== undefined) this.#finish.settle(failed(reason, message))
  }

  /** Hands out the next prompt, or ends, where nothing is under way. */
  #goOn(): void {
    if (this.#resting) return
    const { phase } = this.#conversation
    if (this.#prompts.empty) {
      if (phase !== 'starting' && phase !== 'busy') this.#finish.nothingLeft()
    } else if (phase === 'ready') this.#prompt(this.#prompts.take()!)
  }

  #prompt({ id, text, whole, given }: Prompt): void {
    this.#conversation.turnBegins()
    this.#waitsUntil = undefined
    this.#updates.turnBegins()
    if (given) {
      this.#checks.promptGiven()
      this.denials.promptGiven()
    }
    this.#teller.prompt(id, text)
    if (given) this.#teller.inputTaken(id)
    this.#conversation.prompt(whole ?? text)
  }
}
