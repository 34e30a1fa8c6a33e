import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { Log } from '../../platform/log.ts'
import { endTree } from '../../platform/process-ending.ts'
import type { BotServices } from '../bots/bot-services.ts'
import type { Action, ActionRegistry, Attempts, HeldAttempt } from '../ports.ts'
import { AgentServices, type AgentsOptions } from '../sessions/agent-services.ts'
import type { AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { noDescriptors } from './attempt-folders.ts'
import { AttemptServices, type AttemptServicesOptions } from './attempt-services.ts'
import { AgentKind } from './kinds/agent-kind.ts'
import type { AttemptKind } from './kinds/attempt-kind.ts'
import { BotKind } from './kinds/bot-kind.ts'
import { InlineKind } from './kinds/inline-kind.ts'
import { ProcessKind } from './kinds/process-kind.ts'
import { markOf, passedOn } from './process-environment.ts'
import { Workspaces } from './workspaces.ts'

export interface AttemptsOptions extends Omit<AttemptServicesOptions, 'workspaces'> {
  registry: ActionRegistry
  /** Folder of the runs' workspaces. */
  workspaceDir: string
  /** `run` (default): commands run in their run's workspace. `cwd`: in this process's folder. */
  workspace?: 'run' | 'cwd'
  /** This process's environment, of which commands get only the list in `process-environment.ts`. */
  env?: NodeJS.ProcessEnv
  /** The agents of this machine; absent: it carries out none. */
  agents?: AgentsOptions
  /** What the bots of this machine share; absent: it carries out none. */
  bots?: BotServices
  /** Is told of what cannot be taken up again. */
  log?: Log
}

export function openAttempts(options: AttemptsOptions): Attempts {
  return new DurableAttempts(options)
}

class DurableAttempts implements Attempts {
  readonly #registry: ActionRegistry
  readonly #services: AttemptServices
  readonly #log: Log | undefined
  readonly #kinds: { inline: InlineKind; process: ProcessKind; agent: AgentKind; bot: BotKind }
  #closed = false

  constructor(options: AttemptsOptions) {
    const { registry, workspaceDir, workspace, env = process.env, agents, bots } = options
    const agentServices = agents && new AgentServices(agents, env)
    const workspaces = new Workspaces(workspace === 'cwd' ? undefined : workspaceDir, agentServices?.homes)
    const services = new AttemptServices({ ...options, workspaces })
    this.#registry = registry
    this.#services = services
    this.#log = options.log
    this.#kinds = {
      inline: new InlineKind(services),
      process: new ProcessKind(services, passedOn(env)),
      agent: new AgentKind(services, agentServices, env),
      bot: new BotKind(services, bots),
    }
  }

  get storageId(): string {
    return this.#services.folders.storageId
  }

  async recover(): Promise<HeldAttempt[]> {
    const { folders, held, workspaces, limits } = this.#services
    const taken = await Promise.allSettled(folders.all().map((folder) => this.#recoverOne(folder)))
    for (const each of taken) if (each.status === 'rejected') throw each.reason
    await workspaces.sweep(held.ids())
    limits.sweepBut(held.keys())
    return this.all()
  }

  async start(
    spec: AttemptSpec,
    epoch: number,
    given: Readonly<Record<string, string>> = {},
  ): Promise<HeldAttempt> {
    const { folders, held, secrets } = this.#services
    const action = this.#action(spec)
    const kind: AttemptKind = this.#kinds[action.kind]
    if (kind.load) await kind.load()
    for (;;) {
      if (this.#closed) throw new ErrandError('unavailable', 'This runner is closing and starts nothing new.')
      const there = held.get(spec.attempt_id)
      // Nothing is awaited in between, so that two calls for one attempt cannot both start it.
      if (there === undefined)
        return kind.start({ spec, epoch, action, secrets: secrets.of(spec, given, folders.of(spec).path) })
      if (there.epoch === epoch) return there
      if (there.epoch > epoch)
        throw new ErrandError(
          'conflict',
          `Attempt ${spec.attempt_id} is here with the newer epoch ${there.epoch}.`,
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
  }

  async #recoverOne(folder: AttemptFolder): Promise<void> {
    let facts: AttemptFacts | undefined
    try {
      facts = folder.facts()
      if (facts === undefined) return await folder.remove()
      await this.#takeUp(folder, facts)
    } catch (error) {
      // With a later start all of it goes on.
      if (noDescriptors(error))
        throw new ErrandError('unavailable', `${folder.path} could not be taken up: ${messageOf(error)}.`, {
          hint: 'Let it open more files (ulimit -n, LimitNOFILE=) and start it again: what runs goes on meanwhile.',
          cause: error,
        })
      // Not held: whoever gave it is told that it is lost, and so nothing of it goes on.
      if (facts) await endTree({ mark: markOf(facts.key) }, 0).catch(() => undefined)
      const message = `${folder.path} could not be taken up, and is left as it is: ${messageOf(error)}.`
      this.#log?.(message, { level: 'warn', attempt_id: facts?.spec.attempt_id })
    }
  }

  async #takeUp(folder: AttemptFolder, facts: AttemptFacts): Promise<void> {
    const secrets = this.#services.secrets.recall(facts.spec, folder.path)
    const action = () => this.#action(facts.spec)
    await this.#kinds[facts.kind ?? 'process'].recover({ folder, facts, secrets, action })
  }

  #action(spec: AttemptSpec): Action {
    const action = Object.hasOwn(this.#registry, spec.action) ? this.#registry[spec.action] : undefined
    if (action !== undefined) return action
    throw new ErrandError('invalid_argument', `This runner has no action "${spec.action}".`, {
      hint: `It has ${Object.keys(this.#registry).sort().join(', ')}.`,
    })
  }
}
