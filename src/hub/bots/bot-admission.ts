import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord, RunSpec } from '../../contract/run.ts'
import type { Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/api.ts'

/** Describes the run of a bot to create; `secrets` are values that appear nowhere in it. */
export interface BotSubmission {
  run_id: string
  blueprint: string
  workflow: Record<string, unknown>
  secrets: Readonly<Record<string, string>>
  replaces?: string
}

/** Creates the runs of bots. No other way to create one is accepted. */
export class BotSubmissions {
  readonly #engine: Pick<EngineFace, 'submit'>
  readonly #underWay = new Set<string>()

  constructor({ engine }: { engine: Pick<EngineFace, 'submit'> }) {
    this.#engine = engine
  }

  /**
   * Checks a run for `EngineOptions.admit`: without it, quotas could be bypassed. Throws `invalid_argument` or
   * `conflict`.
   */
  admit(run: RunSpec): void {
    if (this.#underWay.has(run.run_id)) return
    if (run.blueprint === 'bot')
      throw new ErrandError('conflict', 'The run of a bot cannot be repeated on its own.', {
        hint: `Restart the bot with: errand bot restart ${run.workflow_name}`,
      })
    if (servesBots(run.workflow))
      throw new ErrandError(
        'invalid_argument',
        'A workflow on a hub cannot have steps with the action bot.serve.',
        {
          hint: 'Start the bot with: errand bot start',
        },
      )
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

/** Reports whether a step of the workflow, of a rollback or of a sub-workflow serves a bot. */
function servesBots(workflow: unknown): boolean {
  const { steps, finally: last = [] } = workflow as Workflow
  return [...steps, ...last].some(({ rollback, ...step }) =>
    [step, ...(rollback === undefined ? [] : [rollback])].some(
      ({ action, args }) =>
        action === 'bot.serve' ||
        (action === 'workflow.run' && args.workflow !== undefined && servesBots(args.workflow)),
    ),
  )
}

/** Limits how many bots a user may have, how long one lives, and how much data they may have together. */
export interface BotQuota {
  maxBots: number
  /** Longest life in seconds; Infinity means no limit. */
  maxSeconds: number
  maxDataBytes: number
  /** Life in seconds of a bot that asks for none. Defaults to the longest life, or a day if that is infinite. */
  defaultSeconds?: number
}
const DAY_SECONDS = 86_400
export const DEFAULT_BOT_QUOTA: BotQuota = {
  maxBots: 3,
  maxSeconds: DAY_SECONDS,
  maxDataBytes: 5 * 1024 ** 3,
}

/** Returns the life in seconds of a bot that asks for none. */
export const defaultSeconds = ({ maxSeconds, defaultSeconds }: BotQuota): number =>
  Math.min(defaultSeconds ?? (Number.isFinite(maxSeconds) ? maxSeconds : DAY_SECONDS), maxSeconds)

/**
 * Throws `bot_exists` if the owner has an open bot with this id, and `quota_exceeded` if the owner may have no more
 * bots.
 */
export function checkQuota(botId: string, open: readonly RunRecord[], { maxBots }: BotQuota): void {
  const same = open.find(({ workflow_name }) => workflow_name === botId)
  if (same !== undefined)
    throw new ErrandError('bot_exists', `You already have a bot "${botId}": run ${same.run_id}.`, {
      hint: `Change it with: errand bot update ${botId}, restart it with: errand bot restart ${botId}, or choose another id.`,
      details: { run_id: same.run_id },
    })
  const bots = [...new Set(open.map(({ workflow_name }) => workflow_name))].sort()
  if (bots.length < maxBots) return
  throw new ErrandError('quota_exceeded', `Maximum ${maxBots} ${maxBots === 1 ? 'bot' : 'bots'}`, {
    hint:
      bots.length === 0
        ? 'This hub does not allow bots.'
        : `You have ${bots.map((id) => `"${id}"`).join(', ')}. End one with: errand bot stop ${bots[0]}`,
    details: { bots, max: maxBots },
  })
}

/** Identifies the owner of bots: names are unique within a tenant. */
export interface BotOwner {
  owner: string
  tenant: string
}
