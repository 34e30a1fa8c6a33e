import type { AttemptEnd } from '../../contract/attempt.ts'
import type { EventOf } from '../../contract/events.ts'
import type { Step } from '../../contract/workflow.ts'
import type { AttemptState } from './state.ts'

type Finished = Omit<EventOf<'attempt.finished'>, 'seq' | 'time'>

/**
 * The end of an attempt as the log keeps it: what the host reported, `expect_vars` checked, a cancellation of
 * ours given as the reason, and `retry_at` where it is tried again. First cause wins.
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
    const message = `${missing.join(', ')} ${missing.length === 1 ? 'was' : 'were'} not exported.`
    // It may say of a line that it is no export.
    finished.message = end.message === undefined ? message : `${message} ${end.message}`
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

/** Whether the step is not tried again after try number `tries`, however that ends. */
export const isLastTry = ({ retry }: Step, tries: number): boolean =>
  retry === undefined || tries >= retry.max_attempts

/** Wait after try number `tries`: the delay, grown by the factor each time, up to the most. */
export function delayMs({ backoff }: NonNullable<Step['retry']>, tries: number): number {
  const grown = backoff.delay_seconds * backoff.factor ** (tries - 1)
  return 1000 * Math.min(grown, backoff.max_delay_seconds)
}
