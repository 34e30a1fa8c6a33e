import { botOf, botRun, withData } from '../../blueprints/bot.ts'
import type { BotLive } from '../../contract/bots/bot.ts'
import type { BotStarted, BotView, StartBot, UpdateBot } from '../../contract/bots/bot-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import { newRunId } from '../../contract/ids.ts'
import type { RunRecord, RunSpec, RunView } from '../../contract/run.ts'
import { isFinalRun } from '../../contract/status.ts'
import { secretWarnings } from '../../contract/step-secrets.ts'
import { DEFAULT_HOST, type Workflow } from '../../contract/workflow.ts'
import type { EngineFace } from '../../engine/api.ts'
import type { Log } from '../../platform/log.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import type { BotDataStore } from '../../stores/sqlite/bot-data.ts'
import type { BotAsk } from '../fleet/bot-room.ts'
import { allRuns } from '../ops/retention.ts'
import type { Secrets } from '../secrets.ts'
import { type BotOwner, type BotQuota, BotSubmissions, checkQuota, defaultSeconds } from './bot-admission.ts'
import { BotDataPlaces, type DataQueries } from './bot-data.ts'
import { BotSecretCleanup, pulledBy } from './bot-secret-cleanup.ts'
import { isUpdate, KnownBots, open } from './bot-view.ts'
import { changedRequest, restartSpec, startRequired } from './restart-spec.ts'
import { RollingUpdates } from './rolling-updates.ts'
import { type Uploads, uploaded, uploadsInUse } from './uploads.ts'

export interface BotsOptions {
  engine: EngineFace
  secrets: Secrets
  uploads: Uploads
  /** Stores where the data of bots are, and asks their runners about them. */
  data: { store: BotDataStore; asks: DataQueries }
  quota: BotQuota
  /** Throws `invalid_argument` if no present runner can ever hold the bot. Absent means that any bot fits. */
  checkRoom?(ask: BotAsk): void
  /** Returns the live state of a bot's attempt, as its runner reported it. By default nothing is known. */
  live?(attemptId: string): BotLive | undefined
  /** Returns how long its runner has been connected without a break, in milliseconds. By default long enough. */
  contactMs?(attemptId: string): number
  /** Milliseconds that the run of an update must be up before it replaces the one before. */
  settleMs?: number
  log: Log
}

const DEFAULT_SETTLE_MS = 5_000

/** The bots of all users. A bot is the newest of the runs with its id. */
export class Bots {
  readonly #options: BotsOptions
  readonly #mutex = new KeyedMutex()
  readonly #rollingUpdates: RollingUpdates
  readonly #submissions: BotSubmissions
  readonly #known: KnownBots
  readonly #secretCleanup: BotSecretCleanup
  readonly data: BotDataPlaces

  constructor(options: BotsOptions) {
    this.#options = options
    this.#submissions = new BotSubmissions(options)
    const { live = () => undefined } = options
    this.#known = new KnownBots(options.engine, live)
    this.#secretCleanup = new BotSecretCleanup({ ...options, known: this.#known })
    const { maxDataBytes: limitBytes } = options.quota
    this.data = new BotDataPlaces({ ...options, ...options.data, known: this.#known, limitBytes })
    const { engine, log, settleMs = DEFAULT_SETTLE_MS, contactMs = () => settleMs } = options
    this.#rollingUpdates = new RollingUpdates({
      ...{ engine, live, contactMs, log, settleMs },
      stays: (runId) => this.#stays(runId),
    })
  }

  /** Checks a run for `EngineOptions.admit`. Throws `invalid_argument` or `conflict`. */
  admit(run: RunSpec): void {
    this.#submissions.admit(run)
  }

  /** Continues what a stop of the hub has interrupted. Call it after the engine has resumed its runs. */
  async resume(): Promise<void> {
    const { engine, uploads, log } = this.#options
    await this.#secretCleanup.sweep()
    const runs: RunRecord[] = []
    for await (const run of allRuns(engine, { blueprint: 'bot', statuses: open })) runs.push(run)
    const up: RunRecord[] = []
    for (const run of runs) if (isUp(await engine.view(run.run_id))) up.push(run)
    for (const run of runs) {
      // If two are up, the newer one determines where its data belong.
      if (up.includes(run) && !up.some(({ replaces }) => replaces === run.run_id))
        await this.data.up(run.run_id)
      const old = runs.find(({ run_id }) => run_id === run.replaces)
      if (old === undefined) continue
      if (isUpdate(run, old)) this.#rollingUpdates.follow(run, old)
      else await this.#cancel(old, `Restarted as ${run.run_id}.`).catch((error) => log(String(error)))
    }
    uploads.keepOnly(() => uploadsInUse(engine, uploads))
  }

  /** Takes the events of each commit. One commit may say both that a container is up and that its run has ended. */
  seen(runId: string, events: readonly RunEvent[]): void {
    const hasEnded = events.at(-1)?.type === 'run.finished'
    if (hasEnded) this.#secretCleanup.dropAll(runId)
    if (!events.some((event) => event.type === 'attempt.phase' && event.phase === 'running')) return
    // The image is there, so its password is no longer needed.
    if (!hasEnded) this.#secretCleanup.dropPassword(runId)
    this.data
      .up(runId)
      .catch((error: Error) =>
        this.#options.log(
          `The place of the data of run ${runId} could not be saved. The hub saves it at its next start: ${error.message}`,
          { level: 'warn', run_id: runId },
        ),
      )
  }

  /**
   * Starts a bot. Throws `bot_exists`, `quota_exceeded`, `invalid_argument` (also if no runner could hold it), and
   * `not_found` for a missing upload.
   */
  async start(of: BotOwner, change: StartBot): Promise<BotStarted> {
    const request = await uploaded(of.tenant, change, this.#options.uploads)
    const run_id = newRunId()
    const options = { ...this.#life(), slot: run_id }
    // Faults of the request are reported before its data are looked up.
    botRun(request, options)
    return this.#locked(of, async () => {
      checkQuota(change.bot_id, await this.#known.openRuns(of), this.#options.quota)
      const { bot_id: botId, data: requestedData, runner } = change
      const data = await this.data.planned(of, { botId, value: requestedData, runner })
      const made = botRun(request, { ...options, data })
      this.#checkRoom(of, made.workflow)
      const before = await this.#known.find(of, botId)
      await this.#submissions.submit(of, { run_id, ...made })
      if (before !== undefined) await this.#secretCleanup.dropNow(before)
      return this.#begun(of, change.bot_id, change)
    })
  }

  /** Starts the same bot again once the current run has ended. Throws `not_found`, `conflict` or `invalid_argument`. */
  restart(of: BotOwner, botId: string): Promise<BotStarted> {
    return this.#locked(of, async () => {
      const { current, update } = await this.#known.runs(of, botId)
      const live = !isFinalRun(current.status)
      const again = await restartSpec(current, this.#options)
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { args, secrets: names, slot, storedPassword } = botOf(again.run.workflow)
      const { secrets } = again
      const hasAll = names.every((name) => Object.hasOwn(secrets, name))
      if (!live && !hasAll) throw startRequired(botId, { ...args, names, storedPassword })
      if (!live) checkQuota(botId, await this.#known.openRuns(of), this.#options.quota)
      const run_id = newRunId()
      const { host } = botOf(again.run.workflow)
      const data = await this.data.planned(of, {
        botId,
        before: { data: args.data, run: current },
        runner: host.runner,
      })
      let workflow = livesAtMost(again.run.workflow, this.#options.quota.maxSeconds)
      if (data !== undefined) workflow = withData(workflow, data)
      this.#checkRoom(of, workflow)
      if (!live) workflow.concurrency = { group: `bot ${run_id}`, limit: 1 }
      const replaces = live ? current.run_id : undefined
      await this.#submissions.submit(of, { run_id, blueprint: 'bot', workflow, secrets, replaces })
      if (live && slot !== '') await this.#cancel(current, `Restarted as ${run_id}.`)
      // The new run has its own.
      if (!live) await this.#secretCleanup.dropNow(current)
      return this.#begun(of, botId)
    })
  }

  /**
   * Starts a new run next to the current one, which ends once the new one is up. Throws `not_found`, `conflict` or
   * `invalid_argument`.
   */
  async update(of: BotOwner, botId: string, values: UpdateBot): Promise<BotStarted> {
    const change = await uploaded(of.tenant, values, this.#options.uploads)
    return this.#locked(of, async () => {
      const { current, update } = await this.#known.runs(of, botId)
      if (isFinalRun(current.status))
        throw new ErrandError(
          'conflict',
          `The bot "${botId}" is not running, so there is nothing to update.`,
          {
            hint: `Restart it unchanged with: errand bot restart ${botId}, or start it again with its source: errand bot start ${botId} ...`,
          },
        )
      if (update !== undefined && !isFinalRun(update.status)) throw underWay(botId, update)
      const { maxSeconds } = this.#options.quota
      const run_id = newRunId()
      const { run, secrets } = await restartSpec(current, this.#options)
      const { request, kept } = changedRequest(run, change, secrets, maxSeconds)
      const data = await this.data.planned(of, {
        botId,
        value: values.data,
        before: { data: botOf(run.workflow).args.data, run: current },
        runner: request.runner,
      })
      const made = botRun(request, { ...this.#life(), slot: run_id, kept, data })
      this.#checkRoom(of, made.workflow)
      await this.#submissions.submit(of, { run_id, ...made, replaces: current.run_id })
      this.#rollingUpdates.follow({ run_id }, current)
      return this.#begun(of, botId, values)
    })
  }

  /** Ends all runs of the bot. If it has ended already, only its secrets are deleted. Throws `not_found`. */
  stop(of: BotOwner, botId: string, by: string): Promise<BotView> {
    return this.#locked(of, async () => {
      const { current } = await this.#known.runs(of, botId)
      for (const run of await this.#known.openRuns(of, botId)) await this.#cancel(run, undefined, by)
      if (isFinalRun(current.status)) await this.#secretCleanup.dropNow(current)
      return await this.get(of, botId)
    })
  }

  /** Returns the bot. Throws `not_found`. */
  async get(of: BotOwner, botId: string): Promise<BotView> {
    return await this.#known.view(of, botId)
  }

  /** Returns the bot with the current size of its data. Throws `not_found`. */
  async status(of: BotOwner, botId: string): Promise<BotView> {
    const bot = await this.get(of, botId)
    if (bot.data === undefined) return bot
    return { ...bot, data: { ...bot.data, bytes: await this.data.measured(of, botId, bot.data.runner) } }
  }

  /**
   * Removes the data for good. With `force`, it ends the bot first, and forgets the data even if their runner is
   * away. Throws `not_found`, `conflict` or `unavailable`.
   */
  async removeData(
    of: BotOwner,
    botId: string,
    { force, by }: { force: boolean; by: string },
  ): Promise<void> {
    if (force)
      for (const run of await this.#known.openRuns(of, botId)) {
        await this.#cancel(run, 'Its data are being removed.', by)
        for await (const _ of this.#options.engine.watch(run.run_id, 0, undefined, { outputBytes: 0 }));
      }
    await this.#locked(of, () => this.data.remove(of, botId, { forget: force }))
  }

  /** Returns the current or last run of the bot. Throws `not_found`. */
  async run(of: BotOwner, botId: string): Promise<RunRecord> {
    return (await this.#known.runs(of, botId)).current
  }

  /**
   * Lists bots, newest first: those of an owner, or of the whole tenant if none is given. `ended` includes ended
   * ones.
   */
  async list(of: { tenant: string; owner?: string }, { ended }: { ended: boolean }): Promise<BotView[]> {
    return await this.#known.list(of, { ended })
  }

  /** Stops; bots keep running. May be called twice. */
  async close(): Promise<void> {
    this.#options.uploads.close()
    await this.#rollingUpdates.close()
  }

  #checkRoom({ tenant }: BotOwner, workflow: unknown): void {
    const host = (workflow as Workflow).inventory?.hosts[DEFAULT_HOST] ?? {}
    this.#options.checkRoom?.({ tenant, host, limits: botOf(workflow).args.limits })
  }

  /** Makes the data belong to the old run again after an update has failed. */
  async #stays(runId: string): Promise<void> {
    const { engine } = this.#options
    const run = await engine.get(runId)
    if (run !== undefined && !isFinalRun(run.status) && isUp(await engine.view(runId)))
      await this.data.up(runId)
  }

  #life() {
    const { quota } = this.#options
    return { maxSeconds: quota.maxSeconds, defaultSeconds: defaultSeconds(quota) }
  }

  #locked<T>({ tenant, owner }: BotOwner, work: () => Promise<T>): Promise<T> {
    return this.#mutex.run(JSON.stringify([tenant, owner]), work)
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

/** Reports whether its container is or was up. */
const isUp = (view: RunView): boolean => pulledBy(view) !== undefined

const underWay = (botId: string, { run_id }: RunRecord): ErrandError =>
  new ErrandError('conflict', `An update of the bot "${botId}" is in progress: run ${run_id}.`, {
    hint: `Wait for it, or cancel it with: errand runs cancel ${run_id}`,
    details: { run_id },
  })

/** Limits the life of the bot, because the operator may have shortened it since the bot was started. */
const livesAtMost = (workflow: Workflow, maxSeconds: number): Workflow => ({
  ...workflow,
  steps: workflow.steps.map((step) => {
    const { timeout_seconds = Number.POSITIVE_INFINITY, ...rest } = step
    const seconds = Math.min(timeout_seconds, maxSeconds)
    return Number.isFinite(seconds) ? { ...rest, timeout_seconds: seconds } : rest
  }),
})
