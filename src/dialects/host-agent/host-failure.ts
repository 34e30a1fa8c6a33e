import type { AttemptEnd } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'

/** The host that is in trouble. */
export interface HostTrouble {
  host: string
  address: string
}

const at = ({ host, address }: HostTrouble) => `Host "${host}" (${address})`

/** The end of an attempt that its agent did not tell. */
export class HostFailure extends Error {
  readonly end: AttemptEnd

  constructor(outcome: AttemptEnd['outcome'], reason: Reason, message: string) {
    super(message)
    this.end = { type: 'ended', outcome, reason, message }
  }

  static unreachable(trouble: HostTrouble, what: string): HostFailure {
    const hint = 'Start "errand agent-server" there, or correct its address in the inventory.'
    return new HostFailure('failed', 'host_unreachable', `${at(trouble)} ${what}. ${hint}`)
  }

  /** `answer`: whole sentences. */
  static refused(trouble: HostTrouble, answer: string): HostFailure {
    return new HostFailure('failed', 'host_refused', `${at(trouble)}: ${answer}`)
  }

  static unauthorized(trouble: HostTrouble, answer: string): HostFailure {
    return new HostFailure('failed', 'host_unauthorized', `${at(trouble)}: ${answer}`)
  }

  static lost(trouble: HostTrouble, what: string, afterMs: number): HostFailure {
    const message = `${at(trouble)} ${what}, for ${afterMs / 1000} s by now. What it was doing may still run there: look before you run it again.`
    return new HostFailure('failed', 'lost', message)
  }

  /** The words that tell of it while it is waited for. */
  static waiting(trouble: HostTrouble, what: string, sinceMs: number, withinMs: number): string {
    const [since, until] = [sinceMs, sinceMs + withinMs].map((ms) => new Date(ms).toISOString().slice(11, 19))
    return `${at(trouble)} ${what}. It is silent since ${since} UTC, and waited for until ${until} (${withinMs / 1000} s).`
  }

  static back(trouble: HostTrouble): string {
    return `${at(trouble)} answers again.`
  }

  static vanished(trouble: HostTrouble): HostFailure {
    const message = `${at(trouble)} no longer has this attempt: its agent was restarted, and nothing of it is left. Run it again, or give the step a retry.`
    return new HostFailure('interrupted', 'lost', message)
  }

  static incomplete(trouble: HostTrouble): HostFailure {
    return new HostFailure(
      'failed',
      'output_mismatch',
      `${at(trouble)} does not give the rest of the output. See what its agent prints there, and run it again.`,
    )
  }

  static silent(trouble: HostTrouble): HostFailure {
    const message = `${at(trouble)} did not say in time that it has ended. It may still run there: look before you run it again.`
    return new HostFailure('failed', 'lost', message)
  }

  /** `what`: clauses, such as "status is missing". */
  static odd(trouble: HostTrouble, what: string): HostFailure {
    return new HostFailure(
      'failed',
      'host_refused',
      `${at(trouble)} answers what no host agent does: ${what}. See that its address leads to an "errand agent-server".`,
    )
  }
}
