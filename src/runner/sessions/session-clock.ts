import { type Clocks, Moments } from '../../platform/time.ts'
import type { AgentPlan } from '../ports.ts'
import type { Session } from './session.ts'
import type { SessionEvent } from './session-state.ts'

/** Milliseconds in which a restarted runner gets the answers that were accepted while it was away. */
const ANSWERS_MS = 5_000

/**
 * Watches the deadlines of a session, which has no clock itself: how long it waits for whom, and which waits are over.
 */
export class SessionClock {
  readonly #plan: AgentPlan
  readonly #clocks: Clocks
  readonly #moments: Moments
  /** Measured by the steady clock, like the next field. */
  #contactAtMs: number
  #answersFirstUntilMs = 0

  constructor(plan: AgentPlan, clocks: Clocks = { now: Date.now, steady: () => performance.now() }) {
    this.#plan = plan
    this.#clocks = clocks
    this.#moments = new Moments(clocks)
    this.#contactAtMs = clocks.steady()
  }

  /** Records a restart: answers given since then are taken before a timeout. */
  recovered(): void {
    this.#answersFirstUntilMs = this.#clocks.steady() + ANSWERS_MS
  }

  /** Records that something has come from the agent, or for it. */
  contact(): void {
    this.#contactAtMs = this.#clocks.steady()
  }

  /** Returns the event that asks a person, with its deadline from now. */
  questionEvent(request_id: string): SessionEvent {
    return {
      type: 'asked',
      request_id,
      expires_at: this.#inSeconds(this.#plan.permissions.ask_timeout_seconds),
    }
  }

  /** Returns the event that waits for prompts, with its deadline from now. */
  waits(): SessionEvent {
    return { type: 'waits', until: this.#inSeconds(this.#plan.idle_timeout_seconds) }
  }

  /** Returns a text if the session has used up its time. */
  overtime(startedAtMs: number | undefined): string | undefined {
    const { seconds } = this.#plan.budget
    const due =
      seconds !== undefined && startedAtMs !== undefined && this.#moments.due(startedAtMs + seconds * 1000)
    return due ? `${seconds} s have passed` : undefined
  }

  /** Returns a text if the agent has been silent for as long as it may. */
  silence(session: Pick<Session, 'busy'>): string | undefined {
    const { inactivity_seconds } = this.#plan.budget
    const silent = session.busy && this.#clocks.steady() >= this.#contactAtMs + inactivity_seconds * 1000
    return silent ? `the agent was silent for ${inactivity_seconds} s` : undefined
  }

  /** Returns due events, in the state of the session when each is requested. */
  *due(session: Pick<Session, 'openQuestions' | 'waits' | 'waitsUntil'>): Iterable<SessionEvent> {
    const decision = this.#plan.permissions.on_ask_timeout
    const answersFirst = this.#clocks.steady() < this.#answersFirstUntilMs
    for (const { requestId: request_id, expiresAt } of session.openQuestions)
      if (!answersFirst && this.#moments.due(Date.parse(expiresAt)))
        yield { type: 'decided', request_id, decision, by: 'timeout' }
    const { waits, waitsUntil } = session
    if (waits && waitsUntil !== undefined && this.#moments.due(Date.parse(waitsUntil)))
      yield { type: 'idle_over' }
  }

  #inSeconds(seconds: number): string {
    return new Date(this.#clocks.now() + seconds * 1000).toISOString()
  }
}
