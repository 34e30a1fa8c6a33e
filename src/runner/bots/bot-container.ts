import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { removeTree } from '../../platform/files.ts'
import { sizeText } from '../../platform/text.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerLimits, DockerEngine, HealthOrder, OwnLabels } from '../docker/docker-engine.ts'
import { HubAway } from '../link/hub-retry.ts'
import type { BotPlan } from '../ports.ts'
import { bytes } from './bot-caps.ts'
import { dataVolume, ownerText } from './bot-data.ts'
import type { BotRecord } from './bot-record.ts'
import type { BotServices } from './bot-services.ts'
import { imageReasons, type PreparedImage } from './images/image-order.ts'
import { DockerLost } from './retry-while-docker-away.ts'

/**
 * Size of the engine's log. The engine keeps more of it than a bot may write a day: its notation takes up to twice the
 * bytes. It drops the log by whole files, of which it has two, and what it drops unread is lost.
 */
const MAX_LOGS = 4
const LEAST_LOG_BYTES = 128 * 1024 ** 2
/** Limit in bytes for image content where a bot may write: it is copied there, and counted. */
const MOST_IMAGE_BYTES = 100 * 1024 ** 3

export interface BotContainerOptions {
  services: BotServices
  engine: DockerEngine
  plan: BotPlan
  spec: AttemptSpec
  /** Unique key of the attempt. */
  key: string
  limits: ContainerLimits
  /** Returns the step's variables and secrets, as they are now. */
  env(): Readonly<Record<string, string>>
  record: BotRecord
  /** Folder of the attempt. */
  folder: string
  /**
   * Called when the image is there, and recorded: secrets needed only for the image are dropped before there is a
   * container.
   */
  onImage(): void
}

/** Finds the single container of a bot's attempt, or makes it. */
export class BotContainer {
  readonly #options: BotContainerOptions
  readonly #labels: OwnLabels & { attempt: string; bot: string; owner: string }
  /** Name that is known before the container is made, so that a later process of this runner finds it. */
  readonly #name: string

  constructor(options: BotContainerOptions) {
    const { services, plan, spec, key } = options
    this.#options = options
    this.#labels = {
      runner: services.runner,
      attempt: spec.attempt_id,
      bot: plan.bot_id,
      owner: ownerText(spec),
    }
    // It does not name the bot: the engine's name server gives container names to everyone on their network.
    this.#name = `errand-bot-${key.slice(0, 13)}`
  }

  /** Returns the id of a container that an earlier process of this runner has made. Removes one that is incomplete. */
  async find(): Promise<string | undefined> {
    const { engine, record } = this.#options
    const { runner, attempt } = this.#labels
    for (const { id } of await engine.containers({ runner, attempt }))
      if (id !== record.facts.container) await engine.remove(id)
    return record.facts.container
  }

  /** Makes it, and returns its id. Throws `ImageError` if there is no image for it. */
  async make(progress: BuildProgress, signal: AbortSignal): Promise<string> {
    const { services, engine, record } = this.#options
    await services.networkReady(engine)
    const { id, volumes } = await this.#makeOnce(progress, signal).catch((error) => {
      // Somebody's cleanup, or ours, has removed the image since it was found.
      if (error.code !== 'not_found') throw error
      return this.#makeOnce(progress, signal)
    })
    const imageBytes = await engine.volumeBytes(volumes, { enoughBytes: MOST_IMAGE_BYTES, signal })
    if (imageBytes > MOST_IMAGE_BYTES) {
      await engine.remove(id)
      const what = Number.isFinite(imageBytes)
        ? `${sizeText(imageBytes)} or more`
        : 'paths that are too long to measure'
      throw new ErrandError('invalid_argument', `The image has ${what} in its working folder and volumes.`, {
        hint: 'Build it with less data there, and with shorter paths.',
      })
    }
    record.keep({ container: id, places: { work: volumes, imageBytes, data: this.#data?.volume } })
    return id
  }

  /** Place of its data, if it has any. */
  get #data(): { volume: string; path: string } | undefined {
    const { data } = this.#options.plan
    return data && { volume: dataVolume(this.#labels), path: data.path }
  }

  async #makeOnce(
    progress: BuildProgress,
    signal: AbortSignal,
  ): Promise<{ id: string; volumes: readonly string[] }> {
    const { services, engine, plan, limits, record, env, onImage } = this.#options
    const image = await this.#image(progress, signal)
    signal.throwIfAborted()
    record.keep({ image })
    onImage()
    services.uses.used(image.id, Date.now())
    await this.#noteNewData()
    return await engine.create({
      name: this.#name,
      image: image.id,
      command: plan.command,
      env: env(),
      limits,
      logBytes: Math.max(LEAST_LOG_BYTES, bytes(plan.limits.log) * MAX_LOGS),
      runtime: plan.runtime ?? services.caps.runtimes[0],
      stopGraceSeconds: plan.stop_grace_seconds,
      data: this.#data,
      health: healthOrder(plan.health),
      labels: this.#labels,
    })
  }

  /** Records new data before the container creates them: otherwise nobody would know that they are unused. */
  async #noteNewData(): Promise<void> {
    const { engine, record } = this.#options
    const volume = this.#data?.volume
    if (volume === undefined || record.facts.newData === volume) return
    const { runner } = this.#labels
    if ((await engine.volumes({ runner })).some(({ name }) => name === volume)) return
    record.keep({ newData: volume })
  }

  #secret(variable: string): string | undefined {
    const { spec, env } = this.#options
    return Object.hasOwn(spec.secrets ?? {}, variable) ? env()[variable] : undefined
  }

  async #image(progress: BuildProgress, signal: AbortSignal): Promise<PreparedImage> {
    const { services, engine, plan, folder } = this.#options
    const { options } = services
    const tempDir = join(folder, 'image')
    await removeTree(tempDir)
    mkdirSync(tempDir, { recursive: true, mode: 0o700 })
    try {
      return await options.prepareImage({
        source: plan.source,
        refresh: plan.refresh,
        engine,
        labels: this.#labels,
        env: options.env,
        stateDir: options.stateDir,
        tempDir,
        secret: (variable) => this.#secret(variable),
        upload: async (sha256, signal) => {
          const file = join(folder, 'upload')
          await options.fetchUpload(sha256, file, { signal, waiting: (why) => progress.line(why) })
          return file
        },
        buildTurn: (signal) => services.buildTurn(this.#labels.owner, signal, (line) => progress.line(line)),
        phase: (phase) => progress.phase(phase),
        progress: (line) => progress.line(line),
        signal,
      })
    } catch (error) {
      signal.throwIfAborted()
      throw new ImageError(error as Error)
    } finally {
      await removeTree(tempDir)
      await removeTree(join(folder, 'upload'))
    }
  }
}

const healthOrder = (check: BotPlan['health']): HealthOrder | undefined =>
  check === undefined || check === 'none'
    ? check
    : {
        cmd: check.cmd,
        intervalSeconds: check.interval_seconds,
        timeoutSeconds: check.timeout_seconds,
        retries: check.retries,
        startPeriodSeconds: check.start_period_seconds,
      }

/** Thrown if there is no image; `cause` says why. */
class ImageError extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

/** Converts an error to the ending of an attempt. `phase` is the last reported phase of its image. */
export function failureEnding(error: unknown, phase: string | undefined): Ending {
  const { cause: source = error } = error as { cause?: unknown }
  const lost = [error, source].find((each) => each instanceof DockerLost || each instanceof HubAway)
  if (lost !== undefined) return { type: 'lost', why: reasonOf(lost) }
  if (error instanceof ImageError) {
    const code = source instanceof ErrandError ? source.code : ''
    const reason = imageReasons[code] ?? (phase === 'pulling' ? 'pull_failed' : undefined)
    if (reason) return { type: 'action_failed', reason, message: reasonOf(source) }
    return { type: 'start_failed', message: reasonOf(source) }
  }
  if (error instanceof ErrandError && error.code === 'invalid_argument')
    return { type: 'action_failed', reason: 'invalid_argument', message: reasonOf(error) }
  return { type: 'start_failed', message: reasonOf(error) }
}

function reasonOf(error: unknown): string {
  const { message, hint } = error as ErrandError
  return hint === undefined ? message : `${message} ${hint}`
}

const BETWEEN_MS = 500
const MAX_CHARACTERS = 300

/** Reports a build or pull: each phase at once, and its last line at intervals. */
export class BuildProgress {
  readonly #report: (phase: string, line?: string) => void
  readonly #mask: (text: string) => string
  #phase = ''
  #line: string | undefined
  #reportedAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(report: (phase: string, line?: string) => void, mask: (text: string) => string) {
    this.#report = report
    this.#mask = mask
  }

  get current(): string {
    return this.#phase
  }

  phase(phase: string): void {
    if (phase === this.#phase) return
    this.#phase = phase
    this.#line = undefined
    this.#now()
  }

  line(text: string): void {
    // Progress bars are redrawn in one line.
    const shown = stripVTControlCharacters(text)
      .split(/[\r\n]/)
      .findLast((part) => part.trim() !== '')
    if (shown === undefined) return
    this.#line = this.#mask(shown)
      .replace(/\p{Cc}/gu, ' ')
      .trim()
      .slice(0, MAX_CHARACTERS)
    this.#timer ??= setTimeout(() => this.#now(), Math.max(0, this.#reportedAtMs + BETWEEN_MS - Date.now()))
  }

  /** Ends the reports. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#reportedAtMs = Date.now()
    this.#report(this.#phase, this.#line)
  }
}
