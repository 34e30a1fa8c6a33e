import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunSpec } from '../../contract/run.ts'
import { sizeText } from '../../platform/text.ts'

export interface OutputLimits {
  /** Bytes for all attempts of one run together. Default: no limit. */
  perRunBytes?: number
  /** Bytes for all runs of one user together, until they are removed. Default: no limit. */
  perUserBytes?: number
}

/** User names are unique within a tenant. */
type User = Pick<RunSpec, 'tenant' | 'owner'>

interface Count {
  bytes: number
}

/** Limits how much output is stored for each run and each user. */
export class OutputQuota {
  readonly #perRunBytes: number
  readonly #perUserBytes: number
  readonly #users = new Map<string, Count>()

  /** `kept`: the bytes of users' ended runs. Open runs are counted when they are resumed. */
  constructor(limits: OutputLimits, stored: Iterable<User & { bytes: number }> = []) {
    this.#perRunBytes = limits.perRunBytes ?? Number.POSITIVE_INFINITY
    this.#perUserBytes = limits.perUserBytes ?? Number.POSITIVE_INFINITY
    for (const { bytes, ...user } of stored) this.#user(user).bytes += bytes
  }

  /** Throws `quota_exceeded` for a user who has no room left; a run that another run has started is admitted. */
  admit(run: User & Pick<RunSpec, 'parent'>): void {
    if (run.parent !== undefined || this.#user(run).bytes < this.#perUserBytes) return
    const most = sizeText(this.#perUserBytes)
    throw new ErrandError(
      'quota_exceeded',
      `The runs of ${run.owner} have reached the limit of ${most} of output.`,
      {
        hint: `Delete runs that have ended: errand runs delete RUN. The hub's operator can raise ERRAND_MAX_OUTPUT_USER, or shorten the retention of runs (--retention).`,
      },
    )
  }

  ofRun(run: User & Pick<RunSpec, 'run_id'>): RunOutput {
    const { run_id, owner } = run
    const ofRun = `Run ${run_id} exceeded the output limit of ${sizeText(this.#perRunBytes)} per run (ERRAND_MAX_OUTPUT_RUN).`
    const ofUser = `The runs of ${owner} exceeded the output limit of ${sizeText(this.#perUserBytes)} per user (ERRAND_MAX_OUTPUT_USER).`
    return new RunOutput([
      {
        count: { bytes: 0 },
        mostBytes: this.#perRunBytes,
        message: `${ofRun} The output before that is stored. Print less, or write to a file.`,
      },
      {
        count: this.#user(run),
        mostBytes: this.#perUserBytes,
        message: `${ofUser} The output before that is stored. Print less, or delete runs that have ended: errand runs delete RUN.`,
      },
    ])
  }

  /** Frees the bytes of an ended run that is removed. */
  release(run: User & Pick<RunRecord, 'output_bytes'>): void {
    const user = this.#user(run)
    user.bytes = Math.max(0, user.bytes - (run.output_bytes ?? 0))
  }

  #user({ tenant, owner }: User): Count {
    const key = JSON.stringify([tenant, owner])
    const user = this.#users.get(key) ?? { bytes: 0 }
    this.#users.set(key, user)
    return user
  }
}

interface Limit {
  count: Count
  mostBytes: number
  /** Text for when the limit is reached. */
  message: string
}

/** The output that one run may still produce. */
export class RunOutput {
  readonly #limits: readonly Limit[]

  constructor(limits: readonly Limit[]) {
    this.#limits = limits
  }

  /** Counts bytes that are stored already, whatever the limits. */
  count(bytes: number): void {
    for (const { count } of this.#limits) count.bytes += bytes
  }

  /** Counts as many of the bytes as may be stored. Returns how many, and which limit refuses the rest. */
  take(bytes: number): { fitting: number; message?: string } {
    let fitting = bytes
    let message: string | undefined
    for (const limit of this.#limits) {
      const left = Math.max(0, limit.mostBytes - limit.count.bytes)
      if (left >= fitting) continue
      fitting = left
      message = limit.message
    }
    this.count(fitting)
    return { fitting, message }
  }

  /** Takes back bytes that were counted but not stored after all. */
  giveBack(bytes: number): void {
    this.count(-bytes)
  }
}
