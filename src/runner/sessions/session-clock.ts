import { Moments } from '../../platform/moments.ts'
import type { AgentPlan } from '../ports.ts'
import type { Session } from './session.ts'
import type { SessionEvent } from './session-event.ts'

/** The times of a session, which keeps none itself: until when it waits for whom, and what of that is over. */
export class SessionClock {
  readonly #plan: AgentPlan
  readonly #moments = new Moments()
  /** By the steady clock. */
  #heardAtMs = performance.now()

  constructor(plan: AgentPlan) {
    this.#plan = plan
  }

  /** Something has come from the agent, or for it. */
  heard(): void {
    this.#heardAtMs = performance.now()
  }

  /** A person is asked, from now on. */
  asked(request_id: string): SessionEvent {
    return { type: 'asked', request_id, expires_at: inSeconds(this.#plan.permissions.ask_timeout_seconds) }
  }

  /** It waits for prompts, from now on. */
  waits(): SessionEvent {
    return { type: 'waits', until: inSeconds(this.#plan.idle_timeout_seconds) }
  }

  /** Whether it has worked for as long as it may, in words. */
  overtime(startedAtMs: number | undefined): string | undefined {
    const { seconds } = this.#plan.budget
    const due =
      seconds !== undefined && startedAtMs !== undefined && this.#moments.due(startedAtMs + seconds * 1000)
    return due ? `${seconds} s have passed` : undefined
  }

  /** Whether the agent has said nothing for as long as it may, in words. */
  silence(session: Session): string | undefined {
    const { inactivity_seconds } = this.#plan.budget
    const silent = session.busy && performance.now() >= this.#heardAtMs + inactivity_seconds * 1000
    return silent ? `nothing was heard of the agent for ${inactivity_seconds} s` : undefined
  }

  /** What the session is to be told of, as it stands when that is asked for. */
  *due(session: Session): Iterable<SessionEvent> {
    const decision = this.#plan.permissions.on_ask_timeout
    for (const { requestId: request_id, expiresAt } of session.asked)
      if (this.#moments.due(Date.parse(expiresAt)))
        yield { type: 'decided', request_id, decision, by: 'timeout' }
    const { waits, waitsUntil } = session
    if (waits && waitsUntil !== undefined && this.#moments.due(Date.parse(waitsUntil)))
      yield { type: 'idle_over' }
  }
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()
