import { ErrandError } from '../../contract/errors.ts'
import type { RunSpec } from '../../contract/run.ts'
import type { EngineFace } from '../../engine/face.ts'
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
  readonly #underWay = new Set<string>()

  constructor({ engine }: { engine: Pick<EngineFace, 'submit'> }) {
    this.#engine = engine
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

  async submit({ owner, tenant }: BotOwner, submission: BotSubmission): Promise<void> {
    const { run_id } = submission
    this.#underWay.add(run_id)
    try {
      await this.#engine.submit({ ...submission, owner, tenant })
    } finally {
      this.#underWay.delete(run_id)
    }
  }
}
