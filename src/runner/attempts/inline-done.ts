import { setTimeout as sleep } from 'node:timers/promises'
import type { ActionRegistry, Attempts } from '../ports.ts'

/** Short against the time that a service manager or container engine gives a program to stop (10 s and more). */
const WITHIN_MS = 5_000
const POLL_MS = 20

/** Waits a little for what would end with this process: until the hub has all of it, or the time is over. */
export async function inlineDone(attempts: Pick<Attempts, 'all'>, registry: ActionRegistry): Promise<void> {
  const left = () => attempts.all().some(({ spec }) => registry[spec.action]?.kind === 'inline')
  for (let waitedMs = 0; left() && waitedMs < WITHIN_MS; waitedMs += POLL_MS) await sleep(POLL_MS)
}
