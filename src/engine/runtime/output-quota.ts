import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunSpec } from '../../contract/run.ts'
import { sizeText } from '../../platform/text.ts'

export interface OutputLimits {
  /** Of all attempts of one run together. Default: no limit. */
  perRunBytes?: number
  /** Of all runs of one user together, until they are removed. Default: no limit. */
  perUserBytes?: number
}

/** Names are those of a tenant. */
type User = Pick<RunSpec, 'tenant' | 'owner'>

interface Count {
  bytes: number
}

/** How much output may be kept, of each run and of each user. */
export class OutputQuota {
  readonly #perRunBytes: number
  readonly #perUserBytes: number
  readonly #users = new Map<string, Count>()

  /** `kept`: what users have of runs that have ended. Open ones are counted as they are taken up. */
  constructor(limits: OutputLimits, kept: Iterable<User & { bytes: number }> = []) {
    this.#perRunBytes = limits.perRunBytes ?? Number.POSITIVE_INFINITY
    this.#perUserBytes = limits.perUserBytes ?? Number.POSITIVE_INFINITY
    for (const { bytes, ...user } of kept) this.#user(user).bytes += bytes
  }

  /** Throws `quota_exceeded` for a user who has no room left; a run that another one has started is let in. */
  admit(run: User & Pick<RunSpec, 'parent'>): void {
    if (run.parent !== undefined || this.#user(run).bytes < this.#perUserBytes) return
    const most = sizeText(this.#perUserBytes)
    throw new ErrandError(
      'quota_exceeded',
      `The runs of ${run.owner} have ${most} of output, which is the most.`,
      {
        hint: `Remove runs that have ended: errand runs delete RUN. The hub's operator may raise ERRAND_MAX_OUTPUT_USER, or have runs removed sooner (--retention).`,
      },
    )
  }

  ofRun(run: User & Pick<RunSpec, 'run_id'>): RunOutput {
    const { run_id, owner } = run
    const ofRun = `Run ${run_id} has put out more than ${sizeText(this.#perRunBytes)}, the most that this hub keeps of one run (ERRAND_MAX_OUTPUT_RUN).`
    const ofUser = `The runs of ${owner} have put out more than ${sizeText(this.#perUserBytes)}, the most that this hub keeps of one user (ERRAND_MAX_OUTPUT_USER).`
    return new RunOutput([
      {
        count: { bytes: 0 },
        mostBytes: this.#perRunBytes,
        message: `${ofRun} What came before is kept. Print less, or into a file.`,
      },
      {
        count: this.#user(run),
        mostBytes: this.#perUserBytes,
        message: `${ofUser} What came before is kept. Print less, or remove runs that have ended: errand runs delete RUN.`,
      },
    ])
  }

  /** The run has ended, and is removed. */
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
  /** Told where it is reached. */
  message: string
}

/** The output that one run may still put out. */
export class RunOutput {
  readonly #limits: readonly Limit[]

  constructor(limits: readonly Limit[]) {
    this.#limits = limits
  }

  /** So many bytes are kept already, whatever the limits. */
  count(bytes: number): void {
    for (const { count } of this.#limits) count.bytes += bytes
  }

  /** Counts as many of the bytes as may be kept; answers how many, and which limit holds back the others. */
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

  /** Takes back what was counted, and is not kept after all. */
  giveBack(bytes: number): void {
    this.count(-bytes)
  }
}
