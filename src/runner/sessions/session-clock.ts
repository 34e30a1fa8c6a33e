import { type Clocks, Moments } from '../../platform/time.ts'
import type { AgentPlan } from '../ports.ts'
import type { Session } from './session.ts'
import type { SessionEvent } from './session-state.ts'

/** A restarted runner is given within this what was answered while it was away: it was accepted. */
const ANSWERS_MS = 5_000

/** The times of a session, which keeps none itself: until when it waits for whom, and what of that is over. */
export class SessionClock {
  readonly #plan: AgentPlan
  readonly #clocks: Clocks
  readonly #moments: Moments
  /** By the steady clock, as the next. */
  #heardAtMs: number
  #answersFirstUntilMs = 0

  constructor(plan: AgentPlan, clocks: Clocks = { now: Date.now, steady: () => performance.now() }) {
    this.#plan = plan
    this.#clocks = clocks
    this.#moments = new Moments(clocks)
    this.#heardAtMs = clocks.steady()
  }

  /** An earlier process of this runner kept it before: what was answered since comes first. */
  recovered(): void {
    this.#answersFirstUntilMs = this.#clocks.steady() + ANSWERS_MS
  }

  /** Something has come from the agent, or for it. */
  heard(): void {
    this.#heardAtMs = this.#clocks.steady()
  }

  /** A person is asked, from now on. */
  asked(request_id: string): SessionEvent {
    return {
      type: 'asked',
      request_id,
      expires_at: this.#inSeconds(this.#plan.permissions.ask_timeout_seconds),
    }
  }

  /** The session waits for prompts, from now on. */
  waits(): SessionEvent {
    return { type: 'waits', until: this.#inSeconds(this.#plan.idle_timeout_seconds) }
  }

  /** Whether it has worked for as long as it may, in words. */
  overtime(startedAtMs: number | undefined): string | undefined {
    const { seconds } = this.#plan.budget
    const due =
      seconds !== undefined && startedAtMs !== undefined && this.#moments.due(startedAtMs + seconds * 1000)
    return due ? `${seconds} s have passed` : undefined
  }

  /** Whether the agent has said nothing for as long as it may, in words. */
  silence(session: Pick<Session, 'busy'>): string | undefined {
    const { inactivity_seconds } = this.#plan.budget
    const silent = session.busy && this.#clocks.steady() >= this.#heardAtMs + inactivity_seconds * 1000
    return silent ? `nothing was heard of the agent for ${inactivity_seconds} s` : undefined
  }

  /** Events that the session is to be told of, as it stands when they are asked for. */
  *due(session: Pick<Session, 'asked' | 'waits' | 'waitsUntil'>): Iterable<SessionEvent> {
    const decision = this.#plan.permissions.on_ask_timeout
    const answersFirst = this.#clocks.steady() < this.#answersFirstUntilMs
    for (const { requestId: request_id, expiresAt } of session.asked)
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
