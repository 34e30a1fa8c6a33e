import { randomUUID } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { BotAttempt } from '../bots/bot-attempt.ts'
import type { BotServices } from '../bots/bot-services.ts'
import type { Cage } from '../limits/cage.ts'
import { LimitKeeper } from '../limits/limit-keeper.ts'
import type { Action, ActionRegistry, Attempts, HeldAttempt, ProcessPlan } from '../ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import { MachineSecrets } from '../secrets/machine-secrets.ts'
import { AgentAttempt } from '../sessions/agent-attempt.ts'
import { AgentServices, type AgentsOptions } from '../sessions/agent-services.ts'
import { type AttemptFacts, AttemptFolder } from './attempt-folder.ts'
import type { FolderAttempt, FolderAttemptOptions } from './folder-attempt.ts'
import { InlineAttempt } from './inline-attempt.ts'
import { Poller } from './poller.ts'
import { ProcessAttempt } from './process-attempt.ts'
import { markOf, passedOn, processEnvironment } from './process-environment.ts'
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
  /** What holds attempts to their limits; absent: a watchdog. */
  limits?: LimitKeeper
  /** The agents of this machine; absent: it carries out none. */
  agents?: AgentsOptions
  /** What the bots of this machine share; absent: it carries out none. */
  bots?: BotServices
  /** Values that no attempt may put out, beside its own secrets, by name. */
  ownSecrets?: Readonly<Record<string, string>>
  /** Folder of the secrets that were mounted into this machine (default /run/secrets). */
  mountedSecretsDir?: string
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
  readonly #bots: BotServices | undefined
  readonly #timeoutGraceMs: number
  readonly #outputDir: string
  readonly #limits: LimitKeeper
  readonly #secrets: MachineSecrets
  readonly #poller = new Poller()
  readonly #held = new Map<string, FolderAttempt | InlineAttempt>()
  /** Loaded with the first bot. */
  #BotAttempt: typeof BotAttempt | undefined
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
    bots,
    ownSecrets,
    mountedSecretsDir,
    limits,
  }: AttemptsOptions) {
    this.#dir = resolve(dir)
    this.#registry = registry
    this.#workspaces = workspace === 'cwd' ? undefined : new Workspaces(workspaceDir)
    this.#ownEnv = env ?? process.env
    this.#env = passedOn(this.#ownEnv, passEnv)
    this.#agents = agents && new AgentServices(agents, this.#ownEnv)
    this.#bots = bots
    this.#timeoutGraceMs = timeoutGraceMs ?? 5_000
    this.#outputDir = resolve(outputDir ?? '.')
    this.#limits = limits ?? new LimitKeeper({ choice: { heldBy: 'watchdog', why: 'it was not asked for' } })
    this.#secrets = new MachineSecrets(ownSecrets, mountedSecretsDir)
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
  }

  async recover(): Promise<HeldAttempt[]> {
    await Promise.all(
      readdirSync(this.#dir).map((name) => this.#recoverOne(new AttemptFolder(join(this.#dir, name)))),
    )
    for (const runId of this.#agents?.homes.sweep(new Set(this.#held.keys())) ?? [])
      await this.#workspaces?.remove(runId)
    const names = [...this.#held.values()].flatMap((one) => ('facts' in one ? [one.facts.key] : []))
    this.#limits.sweepBut(new Set(names))
    return this.all()
  }

  async start(
    spec: AttemptSpec,
    epoch: number,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<HeldAttempt> {
    if (this.#action(spec).kind === 'bot') await this.#loadBots()
    for (;;) {
      if (this.#closed) throw new ErrandError('unavailable', 'This runner is closing and starts nothing new.')
      const there = this.#held.get(spec.attempt_id)
      if (there === undefined) return this.#start(spec, epoch, secrets)
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

  runs(): string[] {
    const kept = this.#agents?.homes.runs()
    return this.#workspaces?.runs().filter((runId) => !kept?.has(runId)) ?? []
  }

  async forgetRun(runId: string): Promise<void> {
    // A later run may go on with a session, and then finds its files.
    if (!this.#agents?.homes.runs().has(runId)) await this.#workspaces?.remove(runId)
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#held.values()].map((attempt) => attempt.close()))
    this.#poller.close()
    if (this.all().every((attempt) => attempt.ended)) this.#limits.close()
  }

  /** Synchronous, so that two calls for one attempt cannot both start it. */
  #start(spec: AttemptSpec, epoch: number, given: Readonly<Record<string, string>>): HeldAttempt {
    const action = this.#action(spec)
    const secrets = this.#secrets.of(spec, given, this.#folderPath(spec))
    if (action.kind === 'inline') return this.#startInline(spec, epoch, action, secrets)
    return action.kind === 'process'
      ? this.#startProcess(spec, epoch, action, secrets)
      : this.#startPlanned(spec, epoch, action, secrets)
  }

  #action(spec: AttemptSpec): Action {
    const action = Object.hasOwn(this.#registry, spec.action) ? this.#registry[spec.action] : undefined
    if (action !== undefined) return action
    throw new ErrandError('invalid_argument', `This runner has no action "${spec.action}".`, {
      hint: `It has ${Object.keys(this.#registry).sort().join(', ')}.`,
    })
  }

  #startInline(
    spec: AttemptSpec,
    epoch: number,
    action: Extract<Action, { kind: 'inline' }>,
    secrets: AttemptSecrets,
  ): HeldAttempt {
    try {
      secrets.writeFiles()
    } catch (cause) {
      secrets.discard()
      throw unwritable(this.#folderPath(spec), cause)
    }
    const attempt = new InlineAttempt({
      action,
      spec,
      epoch,
      secrets,
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

  #startProcess(
    spec: AttemptSpec,
    epoch: number,
    action: Extract<Action, { kind: 'process' }>,
    secrets: AttemptSecrets,
  ): HeldAttempt {
    const prepared = prepare(() => action, secrets.filledSpec)
    const folder = new AttemptFolder(this.#folderPath(spec))
    const export_vars = 'plan' in prepared && prepared.plan.export_vars
    const key = randomUUID()
    const cage = this.#limits.facts(spec.limits, key)
    const facts = { spec, epoch, key, export_vars, masked: secrets.masker && true, cage }
    try {
      folder.create(facts, secrets)
    } catch (cause) {
      throw unwritable(folder.path, cause)
    }
    let attempt: ProcessAttempt
    try {
      attempt = this.#hold(folder, facts, secrets)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder.path, cause)
    }
    this.#begin(attempt, prepared, 1, secrets)
    return attempt
  }

  #startPlanned(
    spec: AttemptSpec,
    epoch: number,
    action: Extract<Action, { kind: 'agent' | 'bot' }>,
    secrets: AttemptSecrets,
  ): HeldAttempt {
    const { kind } = action
    this.#mustCarryOut(kind, spec)
    const folder = new AttemptFolder(this.#folderPath(spec))
    const masked = secrets.masker && true
    const key = randomUUID()
    const cage = this.#limits.facts(spec.limits, key)
    const facts = { spec, epoch, key, export_vars: false, kind, masked, cage }
    let attempt: AgentAttempt | BotAttempt
    try {
      folder.create(facts, secrets)
      attempt = this.#holdPlanned(kind, folder, facts, secrets)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder.path, cause)
    }
    try {
      begin(attempt, action, secrets.filledSpec)
    } catch (error) {
      attempt.refuse(error)
    }
    return attempt
  }

  #mustCarryOut(kind: 'agent' | 'bot', spec: AttemptSpec): void {
    if (kind === 'agent' ? this.#agents : this.#bots) return
    throw new ErrandError(
      'invalid_argument',
      `This machine carries out no ${kind}s, as "${spec.action}" needs.`,
    )
  }

  async #loadBots(): Promise<void> {
    this.#BotAttempt ??= (await import('../bots/bot-attempt.ts')).BotAttempt
  }

  #holdPlanned(
    kind: 'agent' | 'bot',
    folder: AttemptFolder,
    facts: AttemptFacts,
    secrets: AttemptSecrets | undefined,
  ): AgentAttempt | BotAttempt {
    return this.#keep(folder, facts, secrets, (options) =>
      kind === 'bot'
        ? new this.#BotAttempt!({ ...options, services: this.#bots! })
        : new AgentAttempt({
            ...options,
            services: this.#agents!,
            env: this.#ownEnv,
            workspace: (runId) => this.#workspaces?.create(runId) ?? process.cwd(),
          }),
    )
  }

  async #recoverPlanned(
    kind: 'agent' | 'bot',
    folder: AttemptFolder,
    facts: AttemptFacts,
    secrets: AttemptSecrets | undefined,
  ): Promise<void> {
    this.#mustCarryOut(kind, facts.spec)
    if (kind === 'bot') await this.#loadBots()
    const attempt = this.#holdPlanned(kind, folder, facts, secrets)
    if (attempt.ended) return
    if (facts.masked && !secrets) return await attempt.abandon()
    try {
      await recover(attempt, this.#action(facts.spec), secrets?.filledSpec ?? facts.spec)
    } catch (error) {
      attempt.refuse(error)
    }
  }

  #hold(folder: AttemptFolder, facts: AttemptFacts, secrets: AttemptSecrets | undefined): ProcessAttempt {
    return this.#keep(folder, facts, secrets, (options) => new ProcessAttempt(options))
  }

  #keep<A extends FolderAttempt>(
    folder: AttemptFolder,
    facts: AttemptFacts,
    secrets: AttemptSecrets | undefined,
    make: (options: FolderAttemptOptions) => A,
  ): A {
    const attempt = make({
      folder,
      facts,
      cage: this.#cage(facts),
      secrets,
      poller: this.#poller,
      timeoutGraceMs: this.#timeoutGraceMs,
      outputDir: this.#outputDir,
      onReleased: () => this.#forget(attempt),
    })
    this.#held.set(facts.spec.attempt_id, attempt)
    return attempt
  }

  #cage({ spec, key, cage }: AttemptFacts): Cage {
    const own = this.#workspaces?.path(spec.run_id)
    const workspace = { folder: own ?? process.cwd(), growth: own === undefined }
    return this.#limits.cage(cage ?? this.#limits.facts(spec.limits, key), { mark: markOf(key), workspace })
  }

  #begin(
    attempt: ProcessAttempt,
    prepared: Prepared,
    claim: number,
    secrets: AttemptSecrets | undefined,
  ): void {
    if ('failed' in prepared) {
      const { code, message } = prepared.failed
      const reason = code === 'invalid_argument' ? 'invalid_argument' : 'action_failed'
      return void attempt.finish({ type: 'action_failed', reason, message })
    }
    const { plan } = prepared
    let launch: Launch
    try {
      launch = this.#launch(attempt, plan, secrets?.env)
    } catch (error) {
      const message = `The workspace could not be made: ${(error as Error).message}.`
      return void attempt.finish({ type: 'start_failed', message })
    }
    attempt.begin(launch, claim, plan.script)
  }

  #launch({ spec, facts }: ProcessAttempt, plan: ProcessPlan, secrets?: Record<string, string>): Launch {
    const workspace = this.#workspaces?.create(spec.run_id) ?? process.cwd()
    return {
      argv: plan.argv,
      cwd: plan.cwd === undefined ? workspace : resolve(workspace, plan.cwd),
      env: processEnvironment(this.#env, { ...plan.env, ...secrets }, spec, facts.key),
    }
  }

  async #recoverOne(folder: AttemptFolder): Promise<void> {
    const facts = folder.facts()
    if (facts === undefined) return await folder.remove()
    const secrets = this.#secrets.recall(facts.spec, folder.path)
    if (facts.kind) return await this.#recoverPlanned(facts.kind, folder, facts, secrets)
    const attempt = this.#hold(folder, facts, secrets)
    if (attempt.ended) return
    // What it puts out cannot be masked any more: nothing of it may leave this machine.
    if (facts.masked && !secrets) return await attempt.abandon()
    await takeUp(attempt, folder, (claim) => {
      this.#begin(
        attempt,
        prepare(() => this.#action(facts.spec), secrets?.filledSpec ?? facts.spec),
        claim,
        secrets,
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

function begin(attempt: AgentAttempt | BotAttempt, action: Action, spec: AttemptSpec): void {
  if (attempt.kind === 'agent' && action.kind === 'agent') attempt.begin(action.prepare(spec))
  else if (attempt.kind === 'bot' && action.kind === 'bot') attempt.begin(action.prepare(spec))
}

async function recover(attempt: AgentAttempt | BotAttempt, action: Action, spec: AttemptSpec): Promise<void> {
  if (attempt.kind === 'agent' && action.kind === 'agent') await attempt.recover(action.prepare(spec))
  else if (attempt.kind === 'bot' && action.kind === 'bot') await attempt.recover(action.prepare(spec))
  else throw new Error(`"${spec.action}" is no ${attempt.kind} any more.`)
}

const unwritable = (folder: string, cause: unknown) =>
  new ErrandError('disk_full', `${folder} could not be written: ${(cause as Error).message}.`, { cause })
