import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Log } from '../../platform/log.ts'
import type { Action, ActionRegistry, Attempts, HeldAttempt } from '../ports.ts'
import { type AttemptFacts, type AttemptFolder, noDescriptors } from './attempt-folder.ts'
import { AttemptTable, type AttemptTableOptions } from './attempt-table.ts'
import type { DriverKind } from './driver.ts'
import { processDrivers } from './drivers/process.ts'
import { passedOn } from './launch.ts'
import { SizeWatch } from './size-watch.ts'

export interface DurableAttemptsOptions extends AttemptTableOptions {
  registry: ActionRegistry
  /** Environment of this process; commands get only the variables listed in `process-environment.ts`. */
  env: NodeJS.ProcessEnv
  /** Drivers beyond commands and inline actions; absent if this machine runs none of these. */
  drivers: { agent?: DriverKind; bot?: DriverKind; platform?: DriverKind }
  /** Receives what cannot be adopted. */
  log?: Log
}

/**
 * Manages the attempts of this machine in their folders: starts them, finds them again, and holds them until they are
 * released.
 */
export class DurableAttempts implements Attempts {
  readonly #registry: ActionRegistry
  readonly #services: AttemptTable
  readonly #log: Log | undefined
  readonly #drivers: { process: DriverKind; agent?: DriverKind; bot?: DriverKind; platform?: DriverKind }
  readonly #sizes = new SizeWatch()
  #closed = false

  constructor(options: DurableAttemptsOptions) {
    const { registry, env, drivers, log, workspaces } = options
    this.#registry = registry
    this.#services = new AttemptTable(options)
    this.#log = log
    this.#drivers = {
      ...drivers,
      process: processDrivers({ workspaces, env: passedOn(env), sizes: this.#sizes }),
    }
  }

  get storageId(): string {
    return this.#services.folders.storageId
  }

  async recover(): Promise<HeldAttempt[]> {
    const { folders, held, workspaces, limits, boxes } = this.#services
    const taken = await Promise.allSettled(folders.all().map((folder) => this.#recoverOne(folder)))
    for (const each of taken) if (each.status === 'rejected') throw each.reason
    await workspaces.sweep(held.ids())
    limits.sweepBut(held.keys())
    void boxes?.sweep(this.#log && ((message) => this.#log?.(message, { level: 'warn' })))
    return this.all()
  }

  async start(
    spec: AttemptSpec,
    epoch: number,
    values: Readonly<Record<string, string>> = {},
  ): Promise<HeldAttempt> {
    const { folders, held, secrets } = this.#services
    const action = this.#action(spec)
    if (action.kind !== 'inline') await this.#drivers[action.kind]?.load?.()
    for (;;) {
      if (this.#closed)
        throw new ErrandError('unavailable', 'This runner is shutting down and starts nothing new.')
      const there = held.get(spec.attempt_id)
      // Nothing is awaited in between, so that two calls for one attempt cannot both start it.
      if (there === undefined) {
        const order = { spec, epoch, secrets: secrets.of(spec, values, folders.of(spec).path) }
        const attempt =
          action.kind === 'inline'
            ? this.#services.createHere({ ...order, action })
            : this.#services.create({ ...order, action }, this.#kindOf(action.kind, spec))
        attempt.begin()
        return attempt
      }
      if (there.epoch === epoch) return there
      if (there.epoch > epoch)
        throw new ErrandError(
          'conflict',
          `Attempt ${spec.attempt_id} is already here with the newer epoch ${there.epoch}.`,
        )
      await there.release()
    }
  }

  get(attemptId: string): HeldAttempt | undefined {
    return this.#services.held.get(attemptId)
  }

  all(): HeldAttempt[] {
    return this.#services.held.all()
  }

  runs(): string[] {
    return this.#services.workspaces.runs()
  }

  async forgetRun(runId: string): Promise<void> {
    await this.#services.workspaces.forget(runId)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#services.held.all().map((attempt) => attempt.close()))
    this.#services.close()
    this.#sizes.close()
    await this.#services.boxes?.close()
  }

  async #recoverOne(folder: AttemptFolder): Promise<void> {
    let facts: AttemptFacts | undefined
    try {
      facts = folder.facts()
      if (facts === undefined) return await folder.remove()
      await this.#resume(folder, facts)
    } catch (error) {
      // All of it continues with a later start.
      if (noDescriptors(error))
        throw new ErrandError('unavailable', `${folder.path} could not be resumed: ${messageOf(error)}.`, {
          hint: 'Raise its limit of open files (ulimit -n, LimitNOFILE=) and start it again. Running attempts continue meanwhile.',
          cause: error,
        })
      // Not held: the sender is told that it is lost, so nothing of it may continue.
      if (facts) await this.#services.endLeft(folder, facts).catch(() => undefined)
      const message = `${folder.path} could not be resumed and is left unchanged: ${messageOf(error)}.`
      this.#log?.(message, { level: 'warn', attempt_id: facts?.spec.attempt_id })
    }
  }

  async #resume(folder: AttemptFolder, facts: AttemptFacts): Promise<void> {
    const secrets = this.#services.secrets.restore(facts.spec, folder.path)
    const action = () => this.#action(facts.spec)
    const kind = this.#kindOf(facts.kind ?? 'process', facts.spec)
    await kind.load?.()
    const attempt = await this.#services.restore({ folder, facts, secrets }, kind, action)
    await attempt?.recover()
  }

  /** Returns the kind of driver for an action. Throws if this machine runs none of that kind. */
  #kindOf(name: 'process' | 'agent' | 'bot' | 'platform', { action }: AttemptSpec): DriverKind {
    const kind = this.#drivers[name]
    if (kind !== undefined) return kind
    throw new ErrandError(
      'invalid_argument',
      `This machine does not run ${name === 'platform' ? 'coding tasks' : `${name}s`}, which "${action}" needs.`,
    )
  }

  #action(spec: AttemptSpec): Action {
    const action = Object.hasOwn(this.#registry, spec.action) ? this.#registry[spec.action] : undefined
    if (action !== undefined) return action
    throw new ErrandError('invalid_argument', `This runner has no action "${spec.action}".`, {
      hint: `It has ${Object.keys(this.#registry).sort().join(', ')}.`,
    })
  }
}
