import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { settingText } from '../../config/read-setting.ts'
import { tokenVariables } from '../../config/settings.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError, isErrandError } from '../../contract/errors.ts'
import { randomText } from '../../contract/ids.ts'
import { permitted } from '../../contract/isolation.ts'
import type { Reason } from '../../contract/status.ts'
import type { AttemptSink, SecretSource } from '../../engine/ports.ts'
import { takePidLock } from '../../platform/pid-lock.ts'
import type { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import { Attempt, type AttemptOptions } from '../attempts/attempt.ts'
import type { Driven, Driver } from '../attempts/driver.ts'
import { inlineDriver } from '../attempts/drivers/inline.ts'
import { AttemptJournal } from '../attempts/journal.ts'
import { launchOf, passedOn, processEnvironment } from '../attempts/launch.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { Action, ActionRegistry, ProcessPlan } from '../ports.ts'
import { type Box, needsBox } from '../sandbox/box.ts'
import type { Boxes, BoxFacts } from '../sandbox/boxes.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import type { MachineSecrets } from '../secrets/machine-secrets.ts'
import { ChildDriver, type ChildDriverOptions } from './child-driver.ts'
import { LocalLimits } from './local-limits.ts'
import { SinkOutput } from './local-output.ts'
import type { LocalScopes } from './local-scopes.ts'

export interface LocalAttemptsOptions {
  registry: ActionRegistry
  /** Folder where commands run. */
  cwd: string
  /** Time in ms between SIGTERM and SIGKILL. */
  graceMs: number
  /** Identifies, with an attempt's id, its processes and temporary folders on this machine. */
  key: string
  /** Provides the values of the secrets that steps name. */
  secrets: SecretSource | undefined
  /** Boxes of this machine, for steps that request one; absent if there are none. */
  boxes?: () => Promise<Boxes>
  /** Stores the files that steps request, loaded with the first; if absent, they are not stored. */
  artifacts?: () => Promise<ArtifactKeeper>
}

/** Describes an attempt that is to begin. */
export interface LocalOrder {
  spec: AttemptSpec
  epoch: number
  /** Receives its output. */
  sink: AttemptSink
}

type ActionOf<Kind extends Action['kind']> = Extract<Action, { kind: Kind }>

/** Variables of this process that no command gets. */
const WITHHELD = [...tokenVariables, 'ERRAND_SECRETS_KEY']

/** Makes the attempts that this process runs itself or as its children, with nothing on the disk. */
export class LocalAttempts {
  readonly #options: LocalAttemptsOptions
  readonly #env: NodeJS.ProcessEnv
  readonly #secrets: LocalSecrets
  /** Least isolation that this machine requires. */
  readonly #least: string
  #boxes: Boxes | undefined
  #scopes: Promise<LocalScopes> | undefined

  constructor(options: LocalAttemptsOptions) {
    const { key, secrets } = options
    this.#options = options
    this.#env = { ...process.env }
    this.#least = settingText(process.env, 'ERRAND_ISOLATION')
    for (const name of WITHHELD) delete this.#env[name]
    this.#secrets = new LocalSecrets({ source: secrets, env: this.#env, key })
  }

  /** Makes an attempt that has not begun; an attempt that cannot run ends as soon as it begins. */
  make(order: LocalOrder): Attempt | Promise<Attempt> {
    const { registry } = this.#options
    const { spec } = order
    const action = Object.hasOwn(registry, spec.action) ? registry[spec.action] : undefined
    if (action === undefined)
      return this.#refused(order, refusal(`This machine has no action "${spec.action}".`))
    if (spec.secrets === undefined) return this.#make(order, action)
    return this.#secrets.of(spec).then(
      (secrets) => this.#make(order, action, secrets),
      (error) => this.#refused(order, failure(error)),
    )
  }

  /** Closes everything; call it after all attempts have ended. */
  async close(): Promise<void> {
    await this.#scopes?.then((scopes) => scopes.close())
    await this.#boxes?.close()
  }

  #make(order: LocalOrder, action: Action, secrets?: AttemptSecrets): Attempt | Promise<Attempt> {
    switch (action.kind) {
      case 'process':
        return this.#needsBox(order.spec)
          ? this.#boxed(order, action, secrets)
          : this.#process(order, action, secrets)
      case 'inline': {
        const { boxes } = this.#options
        return this.#needsBox(order.spec) && boxes
          ? boxes().then(
              (found) => this.#inline(order, action, secrets, found.apart(order.spec)),
              (error) => this.#refused(order, failure(error), secrets),
            )
          : this.#inline(order, action, secrets, this.#apart(order.spec))
      }
      case 'agent':
        return this.#refused(order, refusal('Agents are not available here.'), secrets)
      case 'platform':
        return this.#refused(
          order,
          refusal('Repositories need a hub and a runner: start both with errand up, then errand run --hub.'),
          secrets,
        )
      case 'bot':
        return this.#refused(
          order,
          refusal('Bots need a hub and a runner: start both with errand up, then errand bot.'),
          secrets,
        )
    }
  }

  #inline(
    order: LocalOrder,
    action: ActionOf<'inline'>,
    secrets: AttemptSecrets | undefined,
    apart: ReturnType<Boxes['apart']>,
  ): Attempt {
    const output = this.#output(order, secrets)
    const driver = inlineDriver({ action, spec: order.spec, secrets }, output, this.#options.cwd, apart)
    return this.#attempt(order, { output, driver }, secrets)
  }

  /** Returns what `Boxes.apart` returns, for a machine without boxes. */
  #apart(spec: AttemptSpec): ReturnType<Boxes['apart']> {
    return this.#needsBox(spec) ? { network: permitted(spec.network, undefined) ?? 'all' } : undefined
  }

  #needsBox({ isolation }: AttemptSpec): boolean {
    return needsBox(isolation) || !['auto', 'none'].includes(this.#least)
  }

  /** Makes the attempt in a box if it needs one. */
  async #boxed(
    order: LocalOrder,
    action: ActionOf<'process'>,
    secrets: AttemptSecrets | undefined,
  ): Promise<Attempt> {
    const { key, boxes, cwd } = this.#options
    const { spec } = order
    let folder: string | undefined
    try {
      const found = await boxes?.()
      this.#boxes = found
      if (!found) throw new ErrandError('unavailable', 'No sandboxes are available here.')
      const facts = found.facts(spec, 'process')
      if (!facts) return this.#process(order, action, secrets)
      folder = mkdtempSync(join(tmpdir(), `errand-${key}-${spec.attempt_id}-`))
      // Without this process nobody reads the log of its endpoint, so the endpoint closes.
      takePidLock(join(folder, 'owner'))
      const mounts = { writable: [cwd], readable: secrets?.files ?? [] }
      const box = found.box(facts, folder, `${key}-${spec.attempt_id}`, spec.limits)
      return this.#process(order, action, secrets, { box, mounts, folder, facts })
    } catch (error) {
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
      return this.#refused(order, failure(error), secrets)
    }
  }

  #process(
    order: LocalOrder,
    action: ActionOf<'process'>,
    secrets: AttemptSecrets | undefined,
    box?: ChildDriverOptions['box'] & { facts: BoxFacts },
  ): Attempt {
    const { key: ownKey, cwd } = this.#options
    const { spec } = order
    let plan: ProcessPlan
    try {
      plan = action.prepare(secrets?.filledSpec ?? spec)
    } catch (error) {
      if (box) rmSync(box.folder, { recursive: true, force: true })
      return this.#refused(order, failure(error), secrets)
    }
    const key = `${ownKey}/${spec.attempt_id}`
    const own = secrets ? { ...plan.env, ...secrets.env } : plan.env
    // The user owns this program's environment. A box gets only the part that a runner passes on.
    const env = box ? passedOn(this.#env) : this.#env
    const launch = launchOf(plan, cwd, processEnvironment(env, own, spec, key))
    const output = this.#output(order, secrets, plan.export_vars)
    const limits = new LocalLimits({
      ...{ limits: spec.limits, key, folder: launch.cwd, scopes: this.#loadScopes },
      limiter: box?.box.limiter?.(),
    })
    const options = { launch, script: plan.script, box, key, output, limits }
    const driver = (attempt: Driven) => new ChildDriver(attempt, options)
    const { isolation, network } = box?.facts ?? {}
    const boxFields = isolation && { isolation, network }
    const endpoint = box && readOnce(box.box)
    return this.#attempt(order, { output, cage: limits, driver, endpoint, isolation: boxFields }, secrets)
  }

  /** Makes an attempt that ends in this way once it begins. */
  #refused(order: LocalOrder, ending: Ending, secrets?: AttemptSecrets): Attempt {
    const driver = (attempt: Driven) => new RefusingDriver(attempt, ending)
    return this.#attempt(order, { output: this.#output(order, secrets), driver }, secrets)
  }

  #output({ spec, sink }: LocalOrder, secrets: AttemptSecrets | undefined, exportsVars = false): SinkOutput {
    return new SinkOutput({ spec, sink, masker: secrets?.masker, exportsVars })
  }

  #attempt(
    { spec, epoch }: LocalOrder,
    more: Pick<AttemptOptions, 'output' | 'cage' | 'driver' | 'endpoint' | 'isolation'>,
    secrets: AttemptSecrets | undefined,
  ): Attempt {
    return new Attempt({
      ...more,
      spec,
      epoch,
      journal: new AttemptJournal(),
      masker: secrets?.masker,
      warnings: secrets?.warnings ?? [],
      timeoutGraceMs: this.#options.graceMs,
      path: 'this process',
      keepFiles: this.#keepFiles(spec),
      fetchNeededFiles: this.#fetchNeededFiles(spec),
      dropSecrets: () => secrets?.discard(),
      remove: async () => undefined,
      onReleased: () => undefined,
    })
  }

  #fetchNeededFiles(spec: AttemptSpec): AttemptOptions['fetchNeededFiles'] {
    const { artifacts, cwd } = this.#options
    if (artifacts === undefined || !spec.needs_files?.length) return undefined
    return async (asking) => await (await artifacts()).fetchNeededFiles(spec, cwd, asking)
  }

  #keepFiles(spec: AttemptSpec): AttemptOptions['keepFiles'] {
    const { artifacts, cwd } = this.#options
    if (artifacts === undefined || spec.artifacts === undefined) return undefined
    return async (journal, signal) => {
      const scratch = join(tmpdir(), `errand-${this.#options.key}-kept-${randomText(26)}`)
      return await (await artifacts()).keepFiles({ spec, journal, scratch, signal }, cwd)
    }
  }

  /** A separate module, since most local steps do not need it. */
  readonly #loadScopes = (): Promise<LocalScopes> => {
    this.#scopes ??= import('./local-scopes.ts').then(({ LocalScopes }) => new LocalScopes(this.#env))
    return this.#scopes
  }
}

/** Returns the endpoint of a box that nobody reads after its attempt. */
const readOnce = (box: Box): AttemptOptions['endpoint'] => ({
  logSince: (offset) => box.logSince(offset),
  close: () => box.close(),
  spent: () => box.remove(),
})

/** Ends its attempt without running anything. */
class RefusingDriver implements Driver {
  readonly #attempt: Driven
  readonly #ending: Ending

  constructor(attempt: Driven, ending: Ending) {
    this.#attempt = attempt
    this.#ending = ending
  }

  begin(): void {
    void this.#attempt.finish(this.#ending)
  }
  stop(): void {}
  async sweep() {
    return {}
  }
  async kill(): Promise<void> {}
}

const refusal = (message: string): Ending => ended('host_refused', message)

function failure(error: unknown): Ending {
  const { message, hint } = error as ErrandError
  const reason =
    isErrandError(error) && error.code === 'invalid_argument' ? 'invalid_argument' : 'action_failed'
  return ended(reason, hint === undefined ? message : `${message} ${hint}`)
}

const ended = (reason: Reason, message: string): Ending => ({ type: 'action_failed', reason, message })

interface LocalSecretsOptions {
  /** Provides the values of the secrets that steps name; if absent, only mounted secrets are known. */
  source: SecretSource | undefined
  env: NodeJS.ProcessEnv
  /** Names the temporary folders of this program's secrets. */
  key: string
}

/** Provides the secrets of the steps that this process runs. */
class LocalSecrets {
  readonly #options: LocalSecretsOptions
  #machine: Promise<MachineSecrets> | undefined

  constructor(options: LocalSecretsOptions) {
    this.#options = options
  }

  /**
   * Returns the secrets for one attempt, and writes those that belong in files. Throws `invalid_argument` if one is
   * missing.
   */
  async of(spec: AttemptSpec): Promise<AttemptSecrets> {
    const { source, key } = this.#options
    const values = (await source?.reveal(spec)) ?? {}
    this.#machine ??= this.#load()
    const folder = join(tmpdir(), `errand-${key}-secrets-${randomText(26)}`)
    const secrets = (await this.#machine).of(spec, values, folder)
    secrets.writeFiles()
    return secrets
  }

  /** Loads the code that hides secrets; only attempts with secrets wait for it. */
  async #load(): Promise<MachineSecrets> {
    const { MachineSecrets, mountedSecretsDir } = await import('../secrets/machine-secrets.ts')
    return new MachineSecrets({}, mountedSecretsDir(this.#options.env))
  }
}
