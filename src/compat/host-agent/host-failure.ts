import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptEnd } from '../../contract/attempt.ts'
import type { Reason } from '../../contract/status.ts'
import { Backoff } from '../../platform/time.ts'
import type { Answer } from './agent-client.ts'

/** The host with the failure. */
export interface HostTrouble {
  host: string
  address: string
}

const at = ({ host, address }: HostTrouble) => `Host "${host}" (${address})`

/** The end of an attempt that its agent did not report. */
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
    const message = `${at(trouble)} ${what}, for ${afterMs / 1000} s now. Its work may still run there: check before you run it again.`
    return new HostFailure('failed', 'lost', message)
  }

  /** Returns the message for the time in which the host is waited for. */
  static waiting(trouble: HostTrouble, what: string, sinceMs: number, withinMs: number): string {
    const [since, until] = [sinceMs, sinceMs + withinMs].map((ms) => new Date(ms).toISOString().slice(11, 19))
    return `${at(trouble)} ${what}. It has been silent since ${since} UTC; waiting until ${until} (${withinMs / 1000} s).`
  }

  static back(trouble: HostTrouble): string {
    return `${at(trouble)} answers again.`
  }

  static vanished(trouble: HostTrouble): HostFailure {
    const message = `${at(trouble)} no longer has this attempt: its agent was restarted, and the attempt is gone. Run it again, or give the step a retry.`
    return new HostFailure('interrupted', 'lost', message)
  }

  static incomplete(trouble: HostTrouble): HostFailure {
    return new HostFailure(
      'failed',
      'output_mismatch',
      `${at(trouble)} does not return the rest of the output. Check what its agent prints there, and run it again.`,
    )
  }

  static silent(trouble: HostTrouble): HostFailure {
    const message = `${at(trouble)} did not report its end in time. It may still run there: check before you run it again.`
    return new HostFailure('failed', 'lost', message)
  }

  /** `what`: clauses, such as "status is missing". */
  static odd(trouble: HostTrouble, what: string): HostFailure {
    return new HostFailure(
      'failed',
      'host_refused',
      `${at(trouble)} does not answer like a host agent: ${what}. Check that its address leads to an "errand agent-server".`,
    )
  }
}

interface RetryLimits {
  /** True when the agent has the attempt in question. */
  arrived: boolean
  limits: RemoteLimits
  /** The host, as a failure names it. */
  trouble: HostTrouble
  /** Aborts the wait, which then rejects. */
  signal: AbortSignal
  /** Called when the host is being waited for, and when it answers again. Its promise is awaited. */
  report(phase: 'waiting' | 'running', message: string): Promise<void>
}

/**
 * Repeats a request until there is an answer, as long as that may take. `unknown`: the agent does not have the attempt.
 */
export async function askPatiently(request: () => Promise<Answer>, options: RetryLimits): Promise<unknown> {
  const { arrived, limits, trouble, signal } = options
  const since = performance.now()
  const sinceTime = Date.now()
  const backoff = new Backoff(pauses)
  let mayHaveArrived = arrived
  let report: Promise<void> | undefined
  const reportWaiting = (what: string, withinMs: number): void => {
    report ??= options.report('waiting', HostFailure.waiting(trouble, what, sinceTime, withinMs))
  }
  for (;;) {
    const overdue = setTimeout(
      () => reportWaiting('does not answer', arrived ? limits.lostAfterMs : limits.reachWithinMs),
      limits.overdueAfterMs,
    )
    const answer = await request().finally(() => clearTimeout(overdue))
    await report
    signal.throwIfAborted()
    if (answer.type !== 'failed' && report) await options.report('running', HostFailure.back(trouble))
    if (answer.type === 'ok') return answer.body
    if (answer.type === 'refused') {
      if (answer.code === 'not_found') return 'unknown'
      if (answer.status === 401 || answer.status === 403)
        throw HostFailure.unauthorized(trouble, answer.message)
      throw HostFailure.refused(trouble, answer.message)
    }
    mayHaveArrived ||= answer.again
    const withinMs = arrived ? limits.lostAfterMs : mayHaveArrived ? limits.reachWithinMs : 0
    if (performance.now() - since >= withinMs) {
      if (arrived) throw HostFailure.lost(trouble, answer.message, withinMs)
      throw HostFailure.unreachable(trouble, answer.message)
    }
    reportWaiting(answer.message, withinMs)
    await sleep(backoff.next(), undefined, { signal })
  }
}

/** Limits for the connection to a host agent, in milliseconds. */
export interface RemoteLimits {
  /** Longest time of one request. */
  requestTimeoutMs: number
  /** Longest time in which a host that has not answered yet is tried. */
  reachWithinMs: number
  /** Time after which an unanswered request is reported as waiting for the host. */
  overdueAfterMs: number
  /** Longest silence of a host that has answered before. */
  lostAfterMs: number
  /** Time from SIGTERM to SIGKILL. */
  cancelGraceMs: number
  /** Further time after which the end of a canceled attempt must be known. */
  cancelWithinMs: number
}

/** Waits between requests after one that brought nothing new. */
export const pauses = { firstMs: 50, maxMs: 500 }
