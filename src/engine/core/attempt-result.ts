import type { AttemptEnd } from '../../contract/attempt.ts'
import type { EventOf } from '../../contract/events.ts'
import type { Step } from '../../contract/workflow.ts'
import type { AttemptState } from './state.ts'

type Finished = Omit<EventOf<'attempt.finished'>, 'seq' | 'time'>

/**
 * Makes the end of an attempt for the log: what the host reported, with `expect_vars` checked, the reason of our own
 * cancellation, and `retry_at` when it is tried again. The first cause wins.
 */
export function attemptResult(
  step: Step,
  attempt: AttemptState,
  end: AttemptEnd,
  now: number,
  mayRetry: boolean,
): Finished {
  const { type: _, ...reported } = end
  const finished: Finished = {
    type: 'attempt.finished',
    attempt: attempt.number,
    step: attempt.step,
    host: attempt.host,
    ...reported,
  }
  const missing = (attempt.phase === 'rollback' ? [] : (step.expect_vars ?? [])).filter(
    (name) => end.exports?.[name] === undefined,
  )
  if (finished.outcome === 'success' && missing.length > 0) {
    finished.outcome = 'failed'
    finished.reason = 'expect_vars'
    const message = `did not export ${missing.join(', ')}, which expect_vars requires`
    // The attempt's own message may say that a line is not an export.
    finished.message = end.message === undefined ? message : `${message}. ${end.message}`
  }
  if (attempt.cancel && finished.outcome === 'canceled') {
    finished.reason = attempt.cancel
    if (attempt.cancel === 'timeout') finished.outcome = 'failed'
  }
  const failed = finished.outcome === 'failed' || finished.outcome === 'interrupted'
  if (!failed) delete finished.last_error_line
  if (failed && mayRetry && !attempt.cancel && step.retry && !isLastTry(step, attempt.try))
    finished.retry_at = new Date(now + delayMs(step.retry, attempt.try)).toISOString()
  return finished
}

/** Reports whether the step is not tried again after try number `tries`, however that try ends. */
export const isLastTry = ({ retry }: Step, tries: number): boolean =>
  retry === undefined || tries >= retry.max_attempts

/** Returns the wait after try number `tries`: the delay, multiplied by the factor each time, up to the maximum. */
export function delayMs({ backoff }: NonNullable<Step['retry']>, tries: number): number {
  const grown = backoff.delay_seconds * backoff.factor ** (tries - 1)
  return 1000 * Math.min(grown, backoff.max_delay_seconds)
}
