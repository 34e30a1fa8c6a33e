import { setTimeout as sleep } from 'node:timers/promises'
import { Backoff } from '../../platform/backoff.ts'
import type { Answer } from './agent-client.ts'
import { HostFailure, type HostTrouble } from './host-failure.ts'
import { pauses, type RemoteLimits } from './remote-limits.ts'

interface Patience {
  /** The agent has the attempt that is asked about. */
  arrived: boolean
  limits: RemoteLimits
  /** The host, as a failure names it. */
  trouble: HostTrouble
  /** Ends it, as a rejection. */
  signal: AbortSignal
  /** Told when the host is being waited for, and when it answers again. What it does is waited for. */
  tell(phase: 'waiting' | 'running', message: string): Promise<void>
}

/** Asks until there is an answer, for as long as that may take. `unknown`: the agent does not have it. */
export async function askPatiently(request: () => Promise<Answer>, patience: Patience): Promise<unknown> {
  const { arrived, limits, trouble, signal } = patience
  const since = performance.now()
  const sinceTime = Date.now()
  const backoff = new Backoff(pauses)
  let mayHaveArrived = arrived
  let told: Promise<void> | undefined
  const tellWaiting = (what: string, withinMs: number): void => {
    told ??= patience.tell('waiting', HostFailure.waiting(trouble, what, sinceTime, withinMs))
  }
  for (;;) {
    const overdue = setTimeout(
      () => tellWaiting('does not answer', arrived ? limits.lostAfterMs : limits.reachWithinMs),
      limits.overdueAfterMs,
    )
    const answer = await request().finally(() => clearTimeout(overdue))
    await told
    signal.throwIfAborted()
    if (answer.type !== 'failed' && told) await patience.tell('running', HostFailure.back(trouble))
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
    tellWaiting(answer.message, withinMs)
    await sleep(backoff.next(), undefined, { signal })
  }
}
