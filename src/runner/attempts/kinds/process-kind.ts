import { resolve } from 'node:path'
import type { AttemptSpec } from '../../../contract/attempt.ts'
import type { ErrandError } from '../../../contract/errors.ts'
import type { Action, ProcessPlan } from '../../ports.ts'
import type { AttemptSecrets } from '../../secrets/attempt-secrets.ts'
import { noDescriptors } from '../attempt-folders.ts'
import type { AttemptServices } from '../attempt-services.ts'
import { ProcessAttempt } from '../process-attempt.ts'
import { processEnvironment } from '../process-environment.ts'
import { takeUp } from '../recovery.ts'
import type { Launch } from '../start-failure.ts'
import type { AttemptKind, Left, Order } from './attempt-kind.ts'

/** Commands. */
export class ProcessKind implements AttemptKind {
  readonly #services: AttemptServices
  readonly #env: Readonly<Record<string, string>>

  /** `env`: what commands get of this machine's. */
  constructor(services: AttemptServices, env: Readonly<Record<string, string>>) {
    this.#services = services
    this.#env = env
  }

  start(order: Order<Extract<Action, { kind: 'process' }>>): ProcessAttempt {
    const { action, secrets } = order
    const prepared = prepare(() => action, secrets.filledSpec)
    const export_vars = 'plan' in prepared && prepared.plan.export_vars
    const attempt = this.#services.create(order, { export_vars }, (options) => new ProcessAttempt(options))
    this.#begin(attempt, prepared, 1, secrets)
    return attempt
  }

  async recover(left: Left): Promise<void> {
    const { folder, facts, secrets } = left
    const attempt = await this.#services.takeIn(left, (options) => new ProcessAttempt(options))
    if (!attempt) return
    try {
      await takeUp(attempt, folder, (claim) => {
        const prepared = prepare(left.action, secrets?.filledSpec ?? facts.spec)
        this.#begin(attempt, prepared, claim, secrets)
      })
    } catch (error) {
      if (noDescriptors(error)) throw error
      await attempt.giveUp(error)
    }
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
    const workspace = this.#services.workspaces.create(spec.run_id)
    return {
      argv: plan.argv,
      cwd: plan.cwd === undefined ? workspace : resolve(workspace, plan.cwd),
      env: processEnvironment(this.#env, { ...plan.env, ...secrets }, spec, facts.key),
    }
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
