import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import { BudgetMeter } from './budget-meter.ts'
import type { Denials } from './denials.ts'
import type { Questions } from './questions.ts'
import type { SessionOptions } from './session.ts'
import { ToolCalls } from './tool-calls.ts'
import type { UpdateTeller } from './update-teller.ts'

/** After these the model service has answered. */
const DOES: ReadonlySet<AgentUpdate['kind']> = new Set(['message', 'thought', 'tool', 'turn_ended'])

/** What the agent says: what counts of it is kept in mind, and others are told. */
export class AgentUpdates {
  readonly #title: string
  readonly #teller: UpdateTeller
  readonly #questions: Questions
  readonly #meter: BudgetMeter
  readonly #denials: Denials
  readonly #tools = new ToolCalls()
  #sessionId: string | undefined
  #retry: AgentUpdateOf<'retry'> | undefined

  constructor(
    { title, plan }: Pick<SessionOptions, 'title' | 'plan'>,
    teller: UpdateTeller,
    questions: Questions,
    denials: Denials,
  ) {
    this.#title = title
    this.#teller = teller
    this.#questions = questions
    this.#denials = denials
    this.#meter = new BudgetMeter(plan.budget)
  }

  get sessionId(): string | undefined {
    return this.#sessionId
  }
  /** The model service has failed, and nothing came since of what the agent does. */
  get retry(): AgentUpdateOf<'retry'> | undefined {
    return this.#retry
  }
  /** Which limit of the budget is reached. */
  get breach(): string | undefined {
    return this.#meter.breach
  }
  get changedPaths(): ReadonlySet<string> {
    return this.#tools.changed
  }

  turnBegins(): void {
    this.#teller.turnBegins()
    this.#meter.turnBegins()
    this.#denials.turnBegins()
  }

  take(update: AgentUpdate): void {
    if (update.kind === 'permission') return void this.#questions.come(this.#tools.complete(update))
    if (update.kind === 'retry') this.#retry = update
    else if (DOES.has(update.kind)) this.#retry = undefined
    if (update.kind === 'session') this.#sessionId = update.session_id ?? this.#sessionId
    if (update.kind === 'tool') {
      this.#tools.follow(update)
      this.#denials.follow(update)
    }
    if (update.kind === 'usage') this.#warnOfCost(update)
    this.#teller.tell(update)
    this.#meter.follow(update)
  }

  turnEnded(): void {
    this.#questions.drop()
    this.#tools.turnEnded()
  }

  #warnOfCost(usage: AgentUpdateOf<'usage'>): void {
    if (!this.#meter.findsNoCost(usage)) return
    const text = `${this.#title} does not tell what it costs: budget.cost_usd cannot be kept.`
    this.#teller.tell({ kind: 'notice', text })
  }
}
