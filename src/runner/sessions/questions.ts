import type { AgentUpdateOf, AttemptInput } from '../../contract/agent.ts'
import type { Denials } from './denials.ts'
import type { SessionEvent } from './session-event.ts'
import type { UpdateTeller } from './update-teller.ts'

type Question = AgentUpdateOf<'permission'>
type Asked = Extract<SessionEvent, { type: 'asked' }>
type Answer = Extract<AttemptInput, { type: 'permission' }>
type Decided = Extract<SessionEvent, { type: 'decided' }>

/** What the agent asks whether it may: nobody has looked at it, or a person is asked, until it is answered. */
export class Questions {
  readonly #teller: UpdateTeller
  readonly #denials: Denials
  readonly #undecided = new Map<string, Question>()
  /** With when their time is over. */
  readonly #asked = new Map<string, { question: Question; expiresAt: string }>()

  constructor(teller: UpdateTeller, denials: Denials) {
    this.#teller = teller
    this.#denials = denials
  }

  get undecided(): readonly Question[] {
    return [...this.#undecided.values()]
  }
  get asked(): readonly { requestId: string; expiresAt: string }[] {
    return [...this.#asked].map(([requestId, { expiresAt }]) => ({ requestId, expiresAt }))
  }
  /** A person is waited for. */
  get waits(): boolean {
    return this.#asked.size > 0
  }

  come(question: Question): void {
    this.#undecided.set(question.request_id, question)
  }

  ask({ request_id, expires_at }: Asked): void {
    const question = this.#undecided.get(request_id)
    if (!question || !this.#undecided.delete(request_id)) return
    this.#asked.set(request_id, { question, expiresAt: expires_at })
    this.#teller.tell({ ...question, expires_at })
  }

  /** Answers whether the agent still waits for it. */
  decide({ type: _, ...answer }: Decided): boolean {
    const { request_id, decision, by } = answer
    const question = this.#undecided.get(request_id)
    const asked = this.#asked.get(request_id)?.question
    if (!this.#undecided.delete(request_id) && !this.#asked.delete(request_id)) return false
    if (decision === 'deny') this.#denials.answered((question ?? asked)!, answer)
    // That everything is allowed needs no trail.
    const silent = by === 'policy' && decision === 'allow'
    if (question && !silent) this.#teller.tell(question)
    if (!silent) this.#teller.tell({ kind: 'permission_answered', ...answer })
    return true
  }

  /** By a person, or for want of one. Answers whether the agent still waits for it. */
  answer({ request_id, decision, who, nobody }: Answer): boolean {
    const question = this.#asked.get(request_id)?.question
    if (!question) return false
    this.#asked.delete(request_id)
    const by = nobody ? 'nobody' : 'person'
    if (decision === 'deny') this.#denials.answered(question, { by })
    this.#teller.tell({ kind: 'permission_answered', request_id, decision, by, who })
    return true
  }

  /** The turn that they belong to is over. */
  drop(): void {
    for (const request_id of this.#asked.keys())
      this.#teller.tell({ kind: 'permission_answered', request_id, decision: 'deny', by: 'canceled' })
    this.#asked.clear()
    this.#undecided.clear()
  }
}
