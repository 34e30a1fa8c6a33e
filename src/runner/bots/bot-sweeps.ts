import { setting } from '../../config/read-setting.ts'
import type { ErrandError } from '../../contract/errors.ts'
import type { Log } from '../../platform/log.ts'
import type { DockerEngine } from '../docker/docker-engine.ts'
import { sweepContainers, sweepImages, sweepVolumes } from '../docker/sweep.ts'
import type { BotServices } from './bot-services.ts'
import { hasDockerName } from './docker-here.ts'
import { PulledNames } from './images/pulled-names.ts'

const EVERY_MS = 10 * 60_000
const DAY_MS = 24 * 60 * 60_000

export interface BotSweepsOptions {
  services: BotServices
  /** Reports whether this runner has the attempt. */
  holds(attemptId: string): boolean
  log: Log
}

/** Removes what bots have left at the engine, at once and at intervals, and ensures that their network is closed. */
export class BotSweeps {
  readonly #options: BotSweepsOptions
  readonly #imageRetention: { days: number; bytes: number }
  readonly #timer: NodeJS.Timeout
  #running: Promise<void> | undefined

  /** Reads the settings. Throws `invalid_argument` if one is wrong. */
  constructor(options: BotSweepsOptions) {
    this.#options = options
    this.#imageRetention = imageRetention(options.services.options.env)
    this.#timer = setInterval(() => void this.sweep(), EVERY_MS)
    void this.sweep()
  }

  /** Sweeps once. Never rejects. A runner that had no bot yet has nothing to sweep. */
  sweep(): Promise<void> {
    const { services, log } = this.#options
    if (!hasDockerName(services.options.stateDir)) return Promise.resolve()
    this.#running ??= this.#sweep()
      .catch((error: ErrandError) => log(failed(error.message), { level: 'warn' }))
      .finally(() => {
        this.#running = undefined
      })
    return this.#running
  }

  /** Stops the sweeps. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
  }

  async #sweep(): Promise<void> {
    const { services, log } = this.#options
    const engine = await services.engine()
    // An error in one part must not prevent the others.
    for (const part of [this.#sweepContainers, this.#sweepVolumes, this.#sweepNetworks, this.#sweepImages])
      await part.call(this, engine).catch(({ message }: Error) => log(failed(message), { level: 'warn' }))
  }

  async #sweepContainers(engine: DockerEngine): Promise<void> {
    const { services, holds, log } = this.#options
    for (const { name } of await sweepContainers(engine, services.runner, holds, Date.now()))
      log(`Removed container ${name}, which belongs to no attempt on this runner.`)
  }

  async #sweepVolumes(engine: DockerEngine): Promise<void> {
    const { services, holds, log } = this.#options
    const volumes = await sweepVolumes(engine, services.runner, holds)
    if (volumes > 0) log(`Removed ${volumes} working folders of bots that no longer exist.`)
  }

  async #sweepNetworks(engine: DockerEngine): Promise<void> {
    const { services, log } = this.#options
    const { runner } = services
    for (const name of await engine.sweepNetworks(runner))
      log(`Removed network ${name} of a build that has ended.`)
    if ((await engine.containers({ runner })).length > 0) await services.networkReady(engine)
  }

  async #sweepImages(engine: DockerEngine): Promise<void> {
    const { services, log } = this.#options
    const { runner, uses } = services
    const lastUsed = uses.all()
    const removed = await sweepImages(engine, {
      runner,
      unusedMs: this.#imageRetention.days * DAY_MS,
      totalBytes: this.#imageRetention.bytes,
      now: Date.now(),
      lastUsed: ({ id }) => lastUsed[id],
    })
    const pulled = new PulledNames(services.options.stateDir, engine)
    const names = await pulled.sweep(this.#imageRetention.days * DAY_MS, Date.now())
    if (removed.length + names.length === 0) return
    uses.forget(removed.map(({ id }) => id))
    log(`Removed ${removed.length + names.length} unused images of bots.`)
  }
}

const failed = (message: string): string => `Could not look for leftovers of bots: ${message}`

function imageRetention(env: NodeJS.ProcessEnv): { days: number; bytes: number } {
  return { days: setting(env, 'ERRAND_BOT_IMAGE_DAYS'), bytes: setting(env, 'ERRAND_BOT_IMAGE_SPACE') }
}
