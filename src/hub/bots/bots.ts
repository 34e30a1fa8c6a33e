import { botOf, botRun } from '../../blueprints/bot.ts'
import type { BotStarted, BotView, StartBot, UpdateBot } from '../../contract/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import { newRunId } from '../../contract/ids.ts'
import type { RunRecord, RunSpec } from '../../contract/run.ts'
import { secretWarnings } from '../../contract/secret-value.ts'
import { isFinalRun } from '../../contract/status.ts'
import { DEFAULT_HOST, type Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/face.ts'
import type { Log } from '../../platform/log.ts'
import type { BotAsk } from '../fleet/bot-room.ts'
import { allRuns } from '../retention/run-family.ts'
import type { Secrets } from '../secrets/secrets.ts'
import { begunAgain } from './begun-again.ts'
import type { BotOwner } from './bot-owner.ts'
import { type BotQuota, checkQuota } from './bot-quota.ts'
import { BotSubmissions } from './bot-submissions.ts'
import { changedRequest } from './bot-update.ts'
import { uploaded, uploadsInUse } from './bot-uploads.ts'
import { isUpdate } from './bot-view.ts'
import { KnownBots, open } from './known-bots.ts'
import { OwnerLocks } from './owner-locks.ts'
import { Replacements } from './replacements.ts'
import { SpentSecrets } from './spent-secrets.ts'
import { startAnew } from './start-anew.ts'
import type { Uploads } from './uploads.ts'

export interface BotsOptions {
  engine: EngineFace
  secrets: Secrets
  uploads: Uploads
  quota: BotQuota
  /** Throws `invalid_argument` where no runner that is there could ever hold it. Absent: any may be held. */
  checkRoom?(ask: BotAsk): void
  /** How long the run of an update must have been up before it takes the place of the one before. */
  settleMs?: number
  log: Log
}

const DEFAULT_SETTLE_MS = 5_000

/** The bots of all users: each is the newest of the runs that bear its id. */
export class Bots {
  readonly #options: BotsOptions
  readonly #locks = new OwnerLocks()
  readonly #replacements: Replacements
  readonly #submissions: BotSubmissions
  readonly #known: KnownBots
  readonly #spentSecrets: SpentSecrets

  constructor(options: BotsOptions) {
    this.#options = options
    this.#submissions = new BotSubmissions(options)
    this.#known = new KnownBots(options.engine)
    this.#spentSecrets = new SpentSecrets(options)
    const { engine, log, settleMs = DEFAULT_SETTLE_MS } = options
    this.#replacements = new Replacements({ engine, log, settleMs })
  }

  /** For `EngineOptions.admit`. Throws `invalid_argument`, `conflict`. */
  admit(run: RunSpec): void {
    this.#submissions.admit(run)
  }

  /** After the engine has taken up its runs: goes on with what a stop of the hub has interrupted. */
  async resume(): Promise<void> {
    const { engine, uploads, log } = this.#options
    await this.#spentSecrets.sweep()
    const runs: RunRecord[] = []
    for await (const run of allRuns(engine, { blueprint: 'bot', statuses: open })) runs.push(run)
    for (const run of runs) {
      const old = runs.find(({ run_id }) => run_id === run.replaces)
      if (old === undefined) continue
      if (isUpdate(run, old)) this.#replacements.follow(run, old)
      else await this.#cancel(old, `Restarted as ${run.run_id}.`).catch((error) => log(String(error)))
    }
    uploads.keepOnly(() => uploadsInUse(engine, uploads))
  }

  /** Told of each run that has ended. */
  ended(runId: string): void {
    this.#spentSecrets.dropAll(runId)
  }

  /** Told of each run whose container is up: its image is there, and the password for that has served. */
  up(runId: string): void {
    this.#spentSecrets.dropPassword(runId)
  }

  /** Throws `bot_exists`, `quota_exceeded`, `invalid_argument` (also where no runner could hold it), `not_found` (the upload). */
  async start(of: BotOwner, given: StartBot): Promise<BotStarted> {
    const request = await uploaded(of.tenant, given, this.#options.uploads)
    const run_id = newRunId()
    const made = botRun(request, { maxSeconds: this.#options.quota.maxSeconds, slot: run_id })
    return this.#locked(of, async () => {
      this.#checkRoom(of, made.workflow)
      checkQuota(given.bot_id, await this.#known.openRuns(of), this.#options.quota)
      await this.#submissions.submit(of, { run_id, ...made })
      return this.#begun(of, given.bot_id, given)
    })
  }

  /** The same bot from its start, once the present run has ended. Throws `not_found`, `conflict`, `invalid_argument`. */
  restart(of: BotOwner, botId: string): Promise<BotStarted> {
    return this.#locked(of, async () => {
      const { current, update } = await this.#known.runs(of, botId)
      const live = !isFinalRun(current.status)
      const again = await begunAgain(current, this.#options)
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { args, secrets: names, slot, storedPassword } = botOf(again.run.workflow)
      const secrets = live ? again.secrets : {}
      if (!live && names.length > 0) throw startAnew(botId, { ...args, names, storedPassword })
      if (!live) checkQuota(botId, await this.#known.openRuns(of), this.#options.quota)
      const run_id = newRunId()
      const workflow = livesAtMost(again.run.workflow, this.#options.quota.maxSeconds)
      this.#checkRoom(of, workflow)
      if (!live) workflow.concurrency = { group: `bot ${run_id}`, limit: 1 }
      const replaces = live ? current.run_id : undefined
      await this.#submissions.submit(of, { run_id, blueprint: 'bot', workflow, secrets, replaces })
      if (live && slot !== '') await this.#cancel(current, `Restarted as ${run_id}.`)
      return this.#begun(of, botId)
    })
  }

  /** A new run beside the present one, which ends once the new one is up. Throws `not_found`, `conflict`, `invalid_argument`. */
  async update(of: BotOwner, botId: string, given: UpdateBot): Promise<BotStarted> {
    const change = await uploaded(of.tenant, given, this.#options.uploads)
    return this.#locked(of, async () => {
      const { current, update } = await this.#known.runs(of, botId)
      if (isFinalRun(current.status))
        throw new ErrandError('conflict', `The bot "${botId}" does not run: there is nothing to update.`, {
          hint: `Begin it again as it was with: errand bot restart ${botId}, or start it anew, its source given too: errand bot start ${botId} ...`,
        })
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { maxSeconds } = this.#options.quota
      const run_id = newRunId()
      const { run, secrets } = await begunAgain(current, this.#options)
      const { request, kept } = changedRequest(run, change, secrets, maxSeconds)
      const made = botRun(request, { maxSeconds, slot: run_id, kept })
      this.#checkRoom(of, made.workflow)
      await this.#submissions.submit(of, { run_id, ...made, replaces: current.run_id })
      this.#replacements.follow({ run_id }, current)
      return this.#begun(of, botId, given)
    })
  }

  /** Ends all runs of the bot; one that has ended stays as it is. Throws `not_found`. */
  stop(of: BotOwner, botId: string, by: string): Promise<BotView> {
    return this.#locked(of, async () => {
      await this.#known.runs(of, botId)
      for (const run of await this.#known.openRuns(of, botId)) await this.#cancel(run, undefined, by)
      return await this.get(of, botId)
    })
  }

  /** Throws `not_found`. */
  async get(of: BotOwner, botId: string): Promise<BotView> {
    return await this.#known.view(of, botId)
  }

  /** The run that the bot is now, or was last. Throws `not_found`. */
  async run(of: BotOwner, botId: string): Promise<RunRecord> {
    return (await this.#known.runs(of, botId)).current
  }

  /** Newest first. Without an owner: those of the whole tenant; `ended`: also those that have. */
  async list(of: { tenant: string; owner?: string }, { ended }: { ended: boolean }): Promise<BotView[]> {
    return await this.#known.list(of, { ended })
  }

  /** May be called twice. Bots go on. */
  async close(): Promise<void> {
    this.#options.uploads.close()
    await this.#replacements.close()
  }

  #checkRoom({ tenant }: BotOwner, workflow: unknown): void {
    const host = (workflow as Workflow).inventory?.hosts[DEFAULT_HOST] ?? {}
    this.#options.checkRoom?.({ tenant, host, limits: botOf(workflow).args.limits })
  }

  #locked<T>({ tenant, owner }: BotOwner, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(JSON.stringify([tenant, owner]), work)
  }

  async #begun(
    of: BotOwner,
    botId: string,
    { env_vars = {} }: Pick<UpdateBot, 'env_vars'> = {},
  ): Promise<BotStarted> {
    const warnings = Object.entries(env_vars).flatMap(([name, value]) =>
      secretWarnings(String(value)).map((warning) => `${name}: ${warning}`),
    )
    return { ...(await this.get(of, botId)), warnings }
  }

  async #cancel({ run_id }: RunRecord, message?: string, by?: string): Promise<void> {
    try {
      await this.#options.engine.cancel(run_id, { by, message })
    } catch (error) {
      if (!(error instanceof ErrandError && error.code === 'run_ended')) throw error
    }
  }
}

const underWay = (botId: string, { run_id }: RunRecord): ErrandError =>
  new ErrandError('conflict', `An update of the bot "${botId}" is under way: run ${run_id}.`, {
    hint: `Wait for it, or end it with: errand runs cancel ${run_id}`,
    details: { run_id },
  })

/** The operator may have shortened the life of bots since it was started. */
const livesAtMost = (workflow: Workflow, maxSeconds: number): Workflow => ({
  ...workflow,
  steps: workflow.steps.map((step) => ({
    ...step,
    timeout_seconds: Math.min(step.timeout_seconds ?? maxSeconds, maxSeconds),
  })),
})
