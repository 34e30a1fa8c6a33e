import { setTimeout as sleep } from 'node:timers/promises'
import { endTree } from '../../platform/child-tree.ts'
import { bootId, isAlive } from '../../platform/proc.ts'
import type { AttemptFolder, Claim } from './attempt-folder.ts'
import type { Ending } from './verdict.ts'
import type { FoundWrapper } from './wrapped-process.ts'

/** Time in ms that a wrapper may take between creating its claim and writing it. */
const CLAIM_WRITTEN_WITHIN_MS = 2_000

/** Describes an attempt whose process an earlier process of this runner may have started. */
export interface Adoptable {
  /** Mark in the environment of its processes. */
  readonly mark: string
  /** Set if the attempt is to be ended. */
  readonly cause: unknown
  watch(wrapper: FoundWrapper, startedAtMs: number): void
  settle(wrapperPid: number): Promise<void>
  finish(ending: Ending): Promise<void>
}

/**
 * Adopts an attempt that an earlier process of this runner began. If a wrapper has claimed its command, that wrapper is
 * watched or settled. Otherwise this process takes the claim, so that a late wrapper can never run the command, and
 * `restart` runs it under the next claim: exactly once overall.
 */
export async function adopt(
  attempt: Adoptable,
  folder: AttemptFolder,
  restart: (claim: number) => void,
): Promise<void> {
  for (let number = 1; ; ) {
    const claim = await writtenClaim(folder, number)
    if (claim.type === 'wrapper') {
      const alive = claim.boot === bootId() && isAlive(claim.pid, claim.start)
      if (alive && folder.exit() === undefined) return attempt.watch(claim, claim.atMs)
      return await attempt.settle(claim.pid)
    }
    if (claim.type === 'none' && !folder.takeClaim(number)) continue
    // A wrapper that cannot write its claim does not run the command either, once it is gone.
    if (claim.type === 'incomplete') await endTree({ mark: attempt.mark }, 0)
    number += 1
    if (folder.claim(number).type !== 'none') continue
    if (attempt.cause === undefined) return restart(number)
    return await attempt.finish({ type: 'stopped' })
  }
}

async function writtenClaim(folder: AttemptFolder, number: number): Promise<Claim> {
  const until = performance.now() + CLAIM_WRITTEN_WITHIN_MS
  for (;;) {
    const claim = folder.claim(number)
    if (claim.type !== 'incomplete' || performance.now() > until) return claim
    await sleep(20)
  }
}
