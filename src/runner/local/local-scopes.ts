import { dirname, join } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { processStat } from '../../platform/proc.ts'
import { markOf } from '../attempts/launch.ts'
import { cgroupsBelow, removeCgroup } from '../limits/cgroups.ts'
import { basesOf, chooseLimits, requestedHolder } from '../limits/limit-choice.ts'
import { LimitKeeper } from '../limits/limit-keeper.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Scope } from '../limits/scope.ts'

const PREFIX = 'errand-run-'

/** Provides the scopes of the steps of a local run. A separate module, since most local steps need none. */
export class LocalScopes {
  readonly #env: NodeJS.ProcessEnv
  readonly #measuring = new LimitKeeper({ choice: { heldBy: 'watchdog', why: 'no limits are set' } })
  #keeper: LimitKeeper | undefined
  #made = 0

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /** Returns a scope that only measures. */
  measuring(key: string, folder: string): Scope {
    return this.#scope(this.#measuring, {}, key, folder)
  }

  /**
   * Returns a scope that holds the step to its limits, unless `limiter` does. Throws `invalid_argument` for a wrong
   * ERRAND_LIMITS.
   */
  holding(limits: NonNullable<AttemptSpec['limits']>, key: string, folder: string, limiter?: Limiter): Scope {
    if (limiter) return this.#scope(this.#measuring, limits, key, folder, limiter)
    this.#keeper ??= this.#choose()
    return this.#scope(this.#keeper, limits, key, folder)
  }

  close(): void {
    this.#keeper?.close()
  }

  #scope(
    keeper: LimitKeeper,
    limits: NonNullable<AttemptSpec['limits']>,
    key: string,
    folder: string,
    limiter?: Limiter,
  ): Scope {
    const facts = keeper.facts(limits, String(++this.#made))
    // It is a person's folder: only what the step adds counts.
    return keeper.scope(facts, { mark: markOf(key), workspace: { folder, growth: true }, limiter })
  }

  #choose(): LimitKeeper {
    const choice = chooseLimits(`${PREFIX}${process.pid}`, requestedHolder(this.#env))
    for (const base of basesOf(choice)) sweepKilled(dirname(base))
    return new LimitKeeper({ choice })
  }
}

/** Removes the cgroups of local runs that were killed. */
function sweepKilled(folder: string): void {
  for (const name of cgroupsBelow(folder)) {
    const pid = Number(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : Number.NaN)
    if (pid > 0 && processStat(pid) === undefined) removeCgroup(join(folder, name))
  }
}
