import type * as z from 'zod'
import type { DeniedUses, Usage } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'

/** The answer of an agent's run, read off its events. */
export class AgentAnswer {
  usage: z.infer<typeof Usage> | undefined
  /** Number of the latest attempt. */
  attempt: number | undefined
  /** Why it waits for a runner. */
  waiting: string | undefined
  finished: EventOf<'run.finished'> | undefined
  #attemptEnd: EventOf<'attempt.finished'> | undefined

  /** Every event, in order. */
  add(event: RunEvent): void {
    switch (event.type) {
      case 'attempt.created':
        this.attempt = event.attempt
        this.waiting = event.waiting
        break
      case 'attempt.waiting':
        this.waiting = event.why
        break
      case 'attempt.assigned':
        this.waiting = undefined
        break
      case 'agent.update':
        if (event.update.kind === 'usage') this.usage = event.update.session
        break
      case 'attempt.finished':
        this.#attemptEnd = event
        break
      case 'run.finished':
        this.finished = event
    }
  }

  get denied(): DeniedUses | undefined {
    return this.#attemptEnd?.denied
  }

  /** Why it did not succeed. Throws nothing; only after `run.finished`. */
  failure(runId: string): ErrandError | undefined {
    if (this.finished === undefined || this.finished.status === 'success') return undefined
    const { reason, message } = this.#attemptEnd ?? this.finished
    const { status } = this.finished
    const code = reason === 'invalid_argument' ? 'invalid_argument' : 'run_failed'
    const why = message ?? `The run ended as ${status}${reason === undefined ? '' : ` (${reason})`}.`
    return new ErrandError(code, why, {
      hint: `Its events say more: errand runs events ${runId}`,
      details: { run_id: runId, status, reason },
    })
  }
}
