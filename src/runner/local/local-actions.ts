import { resolve } from 'node:path'
import { tokenVariables } from '../../config/settings.ts'
import type { AttemptEnd, AttemptReport, AttemptSpec } from '../../contract/attempt.ts'
import type { AttemptSink, SecretSource } from '../../engine/ports.ts'
import { attemptEnd } from '../attempts/attempt-end.ts'
import { callAt } from '../attempts/deadline.ts'
import { InlineRun } from '../attempts/drivers/inline.ts'
import type { Cause } from '../attempts/outcome.ts'
import { processEnvironment } from '../attempts/process-environment.ts'
import { PushedOutput } from '../attempts/pushed-output.ts'
import type { Action, ActionRegistry } from '../ports.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import { type Begun, begunLater, ended, failed } from './begun.ts'
import type { LocalCages } from './local-cages.ts'
import { LocalProcess } from './local-process.ts'
import { LocalSecrets } from './local-secrets.ts'
import { orderlyOutput } from './orderly-output.ts'

export interface LocalActionsOptions {
  registry: ActionRegistry
  /** Where commands run. */
  cwd: string
  /** Between SIGTERM and SIGKILL. */
  graceMs: number
  /** With an attempt's id it names its processes and temporary folders among all of this machine. */
  key: string
  /** Has the values of the secrets that steps name. */
  secrets: SecretSource | undefined
}

/** Where an attempt's output goes, and its reports but for the end. */
export interface Told {
  sink: AttemptSink
  report(report: AttemptReport): Promise<unknown>
}

/** Variables of this process that no command gets. */
const KEPT_BACK = [...tokenVariables, 'ERRAND_SECRETS_KEY']

/** Begins what steps do, in this process or as its children. */
export class LocalActions {
  readonly #options: LocalActionsOptions
  readonly #env: NodeJS.ProcessEnv
  readonly #secrets: LocalSecrets
  #cages: Promise<LocalCages> | undefined

  constructor(options: LocalActionsOptions) {
    const { key, secrets } = options
    this.#options = options
    this.#env = { ...process.env }
    for (const name of KEPT_BACK) delete this.#env[name]
    this.#secrets = new LocalSecrets({ source: secrets, env: this.#env, key })
  }

  /** Never throws: what cannot be begun has failed. */
  begin(spec: AttemptSpec, told: Told): Begun {
    const { registry } = this.#options
    const action = Object.hasOwn(registry, spec.action) ? registry[spec.action] : undefined
    if (action === undefined) return ended('host_refused', `This machine has no action "${spec.action}".`)
    if (spec.secrets === undefined) return this.#begin(spec, action, told)
    return begunLater(this.#secrets.of(spec), (secrets) => {
      const { stop, end } = this.#begin(spec, action, told, secrets)
      return { stop, end: end.finally(() => secrets.discard()) }
    })
  }

  /** After all that was begun has ended. */
  async close(): Promise<void> {
    await this.#cages?.then((cages) => cages.close())
  }

  #begin(spec: AttemptSpec, action: Action, told: Told, secrets?: AttemptSecrets): Begun {
    let started: Promise<unknown> | undefined
    const onStarted = (pid?: number) => {
      started = told.report({ type: 'started', pid, time: new Date().toISOString() })
      for (const message of secrets?.warnings ?? [])
        started = started.then(() => told.report({ type: 'phase', phase: 'secrets', message }))
    }
    const afterStart = async (ending: Promise<AttemptEnd>) => {
      const end = await ending
      await started
      return end
    }
    switch (action.kind) {
      case 'process': {
        let local: LocalProcess
        try {
          local = this.#process(spec, action, told.sink, onStarted, secrets)
        } catch (error) {
          return failed(error)
        }
        return { stop: (cause, force) => local.stop(cause, force), end: afterStart(local.run()) }
      }
      case 'inline': {
        onStarted()
        const { stop, end } = this.#inline(spec, action, told.sink, secrets)
        return { stop, end: afterStart(end) }
      }
      case 'agent':
        return ended('host_refused', 'This machine carries out no agents here.')
      case 'bot':
        return ended(
          'host_refused',
          'Bots need a hub and a runner: start both with errand up, then errand bot.',
        )
    }
  }

  #inline(
    spec: AttemptSpec,
    action: Extract<Action, { kind: 'inline' }>,
    sink: AttemptSink,
    secrets: AttemptSecrets | undefined,
  ): Begun {
    const { cwd, graceMs } = this.#options
    const { masker } = secrets ?? {}
    const output = new PushedOutput(spec, masker, orderlyOutput(sink))
    const run = new InlineRun({ action, spec, secrets, cwd, output })
    const startedAtMs = Date.now()
    let cause: Cause | undefined
    const stop: Begun['stop'] = (why, force) => {
      cause ??= why
      run.stop(force ? 0 : graceMs)
    }
    const { timeout_ms: after_ms } = spec
    const takeBack =
      after_ms === undefined
        ? undefined
        : callAt(startedAtMs + after_ms, () => stop({ type: 'timeout', after_ms }))
    const end = run.run().then(({ ending, exports }): AttemptEnd => {
      takeBack?.()
      const { values, hidden } = output
      const duration_ms = Math.max(0, Date.now() - startedAtMs)
      return { ...attemptEnd({ ending, cause, values, exports, masker, hidden }), duration_ms }
    })
    return { stop, end }
  }

  #process(
    spec: AttemptSpec,
    action: Extract<Action, { kind: 'process' }>,
    sink: AttemptSink,
    onStarted: (pid: number) => void,
    secrets: AttemptSecrets | undefined,
  ): LocalProcess {
    const { graceMs, key: ownKey, cwd: ownCwd } = this.#options
    const plan = action.prepare(secrets?.filledSpec ?? spec)
    const key = `${ownKey}/${spec.attempt_id}`
    const cwd = plan.cwd === undefined ? ownCwd : resolve(ownCwd, plan.cwd)
    const own = secrets ? { ...plan.env, ...secrets.env } : plan.env
    const launch = { argv: plan.argv, cwd, env: processEnvironment(this.#env, own, spec, key) }
    const { masker } = secrets ?? {}
    const cages = () => {
      this.#cages ??= import('./local-cages.ts').then(({ LocalCages }) => new LocalCages(this.#env))
      return this.#cages
    }
    return new LocalProcess({ spec, plan, launch, key, sink, graceMs, masker, cages, onStarted })
  }
}
