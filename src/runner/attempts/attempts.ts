import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Action, ActionRegistry, Attempts, HeldAttempt, ProcessPlan } from '../ports.ts'
import { AgentAttempt } from '../sessions/agent-attempt.ts'
import { AgentServices, type AgentsOptions } from '../sessions/agent-services.ts'
import { type AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import { InlineAttempt } from './inline-attempt.ts'
import { Poller } from './poller.ts'
import { ProcessAttempt } from './process-attempt.ts'
import { passedOn, processEnvironment } from './process-environment.ts'
import { takeUp } from './recovery.ts'
import type { Launch } from './start-failure.ts'
import { Workspaces } from './workspaces.ts'

export interface AttemptsOptions {
  /** Folder of the attempts' folders; one process at a time. */
  dir: string
  registry: ActionRegistry
  /** Folder of the runs' workspaces. */
  workspaceDir: string
  /** `run` (default): commands run in their run's workspace. `cwd`: in this process's folder. */
  workspace?: 'run' | 'cwd'
  /** What a relative `output_path` is seen from (default: this process's folder). */
  outputDir?: string
  /** This process's environment, of which commands get only the list in `process-environment.ts`. */
  env?: NodeJS.ProcessEnv
  /** Names of further variables that commands get of it. */
  passEnv?: readonly string[]
  /** Between SIGTERM and SIGKILL where a timeout has passed (default 5 s). */
  timeoutGraceMs?: number
  /** The agents of this machine; absent: it carries out none. */
  agents?: AgentsOptions
}

export function openAttempts(options: AttemptsOptions): Attempts {
  return new DurableAttempts(options)
}

class DurableAttempts implements Attempts {
  readonly #dir: string
  readonly #registry: ActionRegistry
  readonly #workspaces: Workspaces | undefined
  readonly #env: Readonly<Record<string, string>>
  readonly #ownEnv: NodeJS.ProcessEnv
  readonly #agents: AgentServices | undefined
  readonly #timeoutGraceMs: number
  readonly #outputDir: string
  readonly #poller = new Poller()
  readonly #held = new Map<string, ProcessAttempt | InlineAttempt | AgentAttempt>()
  #closed = false

  constructor({
    dir,
    registry,
    workspaceDir,
    workspace,
    outputDir,
    env,
    passEnv,
    timeoutGraceMs,
    agents,
  }: AttemptsOptions) {
    this.#dir = resolve(dir)
    this.#registry = registry
    this.#workspaces = workspace === 'cwd' ? undefined : new Workspaces(workspaceDir)
    this.#ownEnv = env ?? process.env
    this.#env = passedOn(this.#ownEnv, passEnv)
    this.#agents = agents && new AgentServices(agents, this.#ownEnv)
    this.#timeoutGraceMs = timeoutGraceMs ?? 5_000
    this.#outputDir = resolve(outputDir ?? '.')
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
  }

  async recover(): Promise<HeldAttempt[]> {
    await Promise.all(
      readdirSync(this.#dir).map((name) => this.#recoverOne(new AttemptFolder(join(this.#dir, name)))),
    )
    for (const runId of this.#agents?.homes.sweep(new Set(this.#held.keys())) ?? [])
      await this.#workspaces?.remove(runId)
    return this.all()
  }

  async start(spec: AttemptSpec, epoch: number): Promise<HeldAttempt> {
    for (;;) {
      if (this.#closed) throw new ErrandError('unavailable', 'This runner is closing and starts nothing new.')
      const there = this.#held.get(spec.attempt_id)
      if (there === undefined) return this.#start(spec, epoch)
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
    return this.#held.get(attemptId)
  }

  all(): HeldAttempt[] {
    return [...this.#held.values()]
  }

  async forgetRun(runId: string): Promise<void> {
    // A later run may go on with a session, and then finds its files.
    if (!this.#agents?.homes.has(runId)) await this.#workspaces?.remove(runId)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#held.values()].map((attempt) => attempt.close()))
    this.#poller.close()
  }

  /** Synchronous, so that two calls for one attempt cannot both start it. */
  #start(spec: AttemptSpec, epoch: number): HeldAttempt {
    const action = this.#action(spec)
    if (action.kind === 'inline') return this.#startInline(spec, epoch, action)
    return action.kind === 'agent'
      ? this.#startAgent(spec, epoch, action)
      : this.#startProcess(spec, epoch, action)
  }

  #action(spec: AttemptSpec): Action {
    const action = Object.hasOwn(this.#registry, spec.action) ? this.#registry[spec.action] : undefined
    if (action !== undefined) return action
    throw new ErrandError('invalid_argument', `This runner has no action "${spec.action}".`, {
      hint: `It has ${Object.keys(this.#registry).sort().join(', ')}.`,
    })
  }

  #startInline(spec: AttemptSpec, epoch: number, action: Extract<Action, { kind: 'inline' }>): HeldAttempt {
    const attempt = new InlineAttempt({
      action,
      spec,
      epoch,
      folder: this.#folderPath(spec),
      cwd: this.#workspaces?.path(spec.run_id) ?? process.cwd(),
      timeoutGraceMs: this.#timeoutGraceMs,
      outputDir: this.#outputDir,
      onReleased: () => this.#forget(attempt),
    })
    this.#held.set(spec.attempt_id, attempt)
    void attempt.begin()
    return attempt
  }

  #startProcess(spec: AttemptSpec, epoch: number, action: Extract<Action, { kind: 'process' }>): HeldAttempt {
    const prepared = prepare(() => action, spec)
    const folder = new AttemptFolder(this.#folderPath(spec))
    const export_vars = 'plan' in prepared && prepared.plan.export_vars
    const facts = { spec, epoch, key: randomUUID(), export_vars }
    try {
      folder.create(facts)
    } catch (cause) {
      throw unwritable(folder, cause)
    }
    let attempt: ProcessAttempt
    try {
      attempt = this.#hold(folder, facts)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder, cause)
    }
    this.#begin(attempt, prepared, 1)
    return attempt
  }

  #startAgent(spec: AttemptSpec, epoch: number, action: Extract<Action, { kind: 'agent' }>): HeldAttempt {
    const services = this.#services(spec)
    const folder = new AttemptFolder(this.#folderPath(spec))
    const facts = { spec, epoch, key: randomUUID(), export_vars: false, session: true }
    let attempt: AgentAttempt
    try {
      folder.create(facts)
      attempt = this.#holdAgent(folder, facts, services)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder, cause)
    }
    try {
      attempt.begin(action.prepare(spec))
    } catch (error) {
      attempt.refuse(error)
    }
    return attempt
  }

  #services(spec: AttemptSpec): AgentServices {
    if (this.#agents) return this.#agents
    throw new ErrandError(
      'invalid_argument',
      `This machine carries out no agents, as "${spec.action}" needs.`,
    )
  }

  #holdAgent(folder: AttemptFolder, facts: AttemptFacts, services: AgentServices): AgentAttempt {
    const attempt = new AgentAttempt({
      folder,
      facts,
      services,
      env: this.#ownEnv,
      workspace: (runId) => this.#workspaces?.create(runId) ?? process.cwd(),
      poller: this.#poller,
      timeoutGraceMs: this.#timeoutGraceMs,
      outputDir: this.#outputDir,
      onReleased: () => this.#forget(attempt),
    })
    this.#held.set(facts.spec.attempt_id, attempt)
    return attempt
  }

  async #recoverAgent(folder: AttemptFolder, facts: AttemptFacts): Promise<void> {
    const attempt = this.#holdAgent(folder, facts, this.#services(facts.spec))
    if (attempt.ended) return
    try {
      const action = this.#action(facts.spec)
      if (action.kind !== 'agent') throw new Error(`"${facts.spec.action}" is no agent any more.`)
      await attempt.recover(action.prepare(facts.spec))
    } catch (error) {
      attempt.refuse(error)
    }
  }

  #hold(folder: AttemptFolder, facts: AttemptFacts): ProcessAttempt {
    const attempt = new ProcessAttempt({
      folder,
      facts,
      poller: this.#poller,
      timeoutGraceMs: this.#timeoutGraceMs,
      outputDir: this.#outputDir,
      onReleased: () => this.#forget(attempt),
    })
    this.#held.set(facts.spec.attempt_id, attempt)
    return attempt
  }

  #begin(attempt: ProcessAttempt, prepared: Prepared, claim: number): void {
    if ('failed' in prepared) {
      const { code, message } = prepared.failed
      const reason = code === 'invalid_argument' ? 'invalid_argument' : 'action_failed'
      return void attempt.finish({ type: 'action_failed', reason, message })
    }
    const { plan } = prepared
    let launch: Launch
    try {
      launch = this.#launch(attempt, plan)
    } catch (error) {
      const message = `The workspace could not be made: ${(error as Error).message}.`
      return void attempt.finish({ type: 'start_failed', message })
    }
    attempt.begin(launch, claim, plan.script)
  }

  #launch({ spec, facts }: ProcessAttempt, plan: ProcessPlan): Launch {
    const workspace = this.#workspaces?.create(spec.run_id) ?? process.cwd()
    return {
      argv: plan.argv,
      cwd: plan.cwd === undefined ? workspace : resolve(workspace, plan.cwd),
      env: processEnvironment(this.#env, plan.env, spec, facts.key),
    }
  }

  async #recoverOne(folder: AttemptFolder): Promise<void> {
    const facts = folder.facts()
    if (facts === undefined) return await folder.remove()
    if (facts.session) return await this.#recoverAgent(folder, facts)
    const attempt = this.#hold(folder, facts)
    if (attempt.ended) return
    await takeUp(attempt, folder, (claim) => {
      this.#begin(
        attempt,
        prepare(() => this.#action(facts.spec), facts.spec),
        claim,
      )
    })
  }

  #folderPath(spec: AttemptSpec): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,150}$/.test(spec.attempt_id))
      throw new ErrandError('invalid_argument', `"${spec.attempt_id}" is no attempt id.`)
    return join(this.#dir, spec.attempt_id)
  }

  #forget(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#held.get(id) === attempt) this.#held.delete(id)
  }
}

type Prepared = { plan: ProcessPlan } | { failed: { code?: string; message: string } }

function prepare(action: () => Action, spec: AttemptSpec): Prepared {
  try {
    const found = action()
    if (found.kind === 'process') return { plan: found.prepare(spec) }
    return { failed: { message: `"${spec.action}" is no process any more.` } }
  } catch (error) {
    return { failed: error as ErrandError }
  }
}

const unwritable = (folder: AttemptFolder, cause: unknown) =>
  new ErrandError('disk_full', `${folder.path} could not be written: ${(cause as Error).message}.`, { cause })
