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
}

/** Asks until there is an answer, for as long as that may take. `unknown`: the agent does not have it. */
export async function askPatiently(request: () => Promise<Answer>, patience: Patience): Promise<unknown> {
  const { arrived, limits, trouble, signal } = patience
  const since = performance.now()
  const backoff = new Backoff(pauses)
  let mayHaveArrived = arrived
  for (;;) {
    const answer = await request()
    signal.throwIfAborted()
    if (answer.type === 'ok') return answer.body
    if (answer.type === 'refused') {
      if (answer.code === 'not_found') return 'unknown'
      throw HostFailure.refused(trouble, answer.message)
    }
    mayHaveArrived ||= answer.again
    const withinMs = arrived ? limits.lostAfterMs : mayHaveArrived ? limits.reachWithinMs : 0
    if (performance.now() - since >= withinMs) {
      if (arrived) throw HostFailure.lost(trouble, answer.message, withinMs)
      throw HostFailure.unreachable(trouble, answer.message)
    }
    await sleep(backoff.next(), undefined, { signal })
  }
}
