import { ErrandError } from '../../contract/errors.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { BotOwner } from './bot-owner.ts'
import { servesBots } from './serves-bots.ts'

/** A run of a bot as it is to be; `secrets`: values that stand nowhere in it. */
export interface BotSubmission {
  run_id: string
  blueprint: string
  workflow: Record<string, unknown>
  secrets: Readonly<Record<string, string>>
  replaces?: string
}

/** The one way in which the run of a bot begins. */
export class BotSubmissions {
  readonly #engine: Pick<EngineFace, 'submit'>
  readonly #secrets: Secrets
  readonly #underWay = new Set<string>()

  constructor({ engine, secrets }: { engine: Pick<EngineFace, 'submit'>; secrets: Secrets }) {
    this.#engine = engine
    this.#secrets = secrets
  }

  /** It may have secrets already, and is no run yet. */
  isUnderWay(runId: string): boolean {
    return this.#underWay.has(runId)
  }

  /** For `EngineOptions.admit`: quotas would be passed by otherwise. Throws `invalid_argument`, `conflict`. */
  admit(run: RunSpec): void {
    if (this.#underWay.has(run.run_id)) return
    if (run.blueprint === 'bot')
      throw new ErrandError('conflict', 'The run of a bot is not repeated by itself.', {
        hint: `Begin the bot again with: errand bot restart ${run.workflow_name}`,
      })
    if (servesBots(run.workflow))
      throw new ErrandError('invalid_argument', 'A workflow has no steps of the action bot.serve on a hub.', {
        hint: 'Start the bot with: errand bot start',
      })
  }

  /** Secrets first, so that no committed run lacks them; a run that does not come about leaves none. */
  async submit({ owner, tenant }: BotOwner, submission: BotSubmission): Promise<void> {
    const { secrets, ...run } = submission
    const { run_id } = run
    this.#underWay.add(run_id)
    try {
      await this.#secrets.setOfRun({ run_id, tenant, owner }, secrets)
      await this.#engine.submit({ ...run, owner, tenant })
    } catch (error) {
      await this.#secrets.dropOfRun({ run_id, tenant })
      throw error
    } finally {
      this.#underWay.delete(run_id)
    }
  }
}
