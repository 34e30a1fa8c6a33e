import { setTimeout as sleep } from 'node:timers/promises'
import { endTree } from '../../platform/child-tree.ts'
import { bootId, isAlive } from '../../platform/proc.ts'
import type { AttemptFolder, Claim } from './attempt-folder.ts'
import type { Ending } from './verdict.ts'
import type { FoundWrapper } from './wrapped-process.ts'

/** How long a wrapper may take from making its claim to having written it. */
const CLAIM_WRITTEN_WITHIN_MS = 2_000

/** An attempt whose process may have been started by an earlier process of this runner. */
export interface Adoptable {
  /** Mark of its processes. */
  readonly mark: string
  /** Set where it is to be ended. */
  readonly cause: unknown
  watch(wrapper: FoundWrapper, startedAtMs: number): void
  settle(wrapperPid: number): Promise<void>
  finish(ending: Ending): Promise<void>
}

/**
 * Takes up an attempt that an earlier process of this runner began. What claimed its command is watched or
 * settled; where nobody has, this process claims in its stead, so that a wrapper still on its way can never run
 * the command, and `restart` runs it under the next claim: once in all.
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
