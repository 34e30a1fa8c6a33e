import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { removeTree } from '../../platform/files.ts'
import { sizeText } from '../../platform/text.ts'
import type { Ending } from '../attempts/verdict.ts'
import type { ContainerLimits, DockerEngine, HealthOrder, OwnLabels } from '../docker/docker-engine.ts'
import { HubAway } from '../link/hub-patience.ts'
import type { BotPlan } from '../ports.ts'
import { bytes } from './bot-caps.ts'
import { dataVolume, ownerText } from './bot-data.ts'
import type { BotRecord } from './bot-record.ts'
import type { BotServices } from './bot-services.ts'
import { imageReasons, type PreparedImage } from './images/image-order.ts'
import { DockerLost } from './retry-while-docker-away.ts'

/**
 * An engine keeps more of a log than a bot may write a day: its own notation takes up to twice the bytes, and what it drops
 * before it was read is lost, by whole files, of which it has two.
 */
const KEPT_LOGS = 4
const LEAST_LOG_BYTES = 128 * 1024 ** 2
/** The most that an image may have where its bot may write: it is copied there, and counted. */
const MOST_IMAGE_BYTES = 100 * 1024 ** 3

export interface BotContainerOptions {
  services: BotServices
  engine: DockerEngine
  plan: BotPlan
  spec: AttemptSpec
  /** Of the attempt: unique among all. */
  key: string
  limits: ContainerLimits
  /** The step's variables and secrets, as they are now. */
  env(): Readonly<Record<string, string>>
  record: BotRecord
  /** Folder of the attempt. */
  folder: string
  /** The image is there, and recorded: what served to have it alone is dropped, before there is a container. */
  onImage(): void
}

/** Finds the one container of a bot's attempt, or makes it. */
export class BotContainer {
  readonly #options: BotContainerOptions
  readonly #labels: OwnLabels & { attempt: string; bot: string; owner: string }
  /** Known before it is made: a later process of this runner finds it by that. */
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
    // Nothing of its bot: the engine's name server tells the names of containers to all that are on their network.
    this.#name = `errand-bot-${key.slice(0, 13)}`
  }

  /** Id of the one that an earlier process of this runner has made. What it has made half is removed. */
  async find(): Promise<string | undefined> {
    const { engine, record } = this.#options
    const { runner, attempt } = this.#labels
    for (const { id } of await engine.containers({ runner, attempt }))
      if (id !== record.facts.container) await engine.remove(id)
    return record.facts.container
  }

  /** Makes it, and answers its id. Throws `ImageError` where there is no image to make it of. */
  async make(progress: BuildProgress, signal: AbortSignal): Promise<string> {
    const { services, engine, record } = this.#options
    await services.networkReady(engine)
    const { id, volumes } = await this.#makeOnce(progress, signal).catch((error) => {
      // A sweep, of ours or of someone else, has removed the image since it was found.
      if (error.code !== 'not_found') throw error
      return this.#makeOnce(progress, signal)
    })
    const imageBytes = await engine.volumeBytes(volumes, { enoughBytes: MOST_IMAGE_BYTES, signal })
    if (imageBytes > MOST_IMAGE_BYTES) {
      await engine.remove(id)
      const what = Number.isFinite(imageBytes)
        ? `${sizeText(imageBytes)} or more`
        : 'paths that are too long to be measured'
      throw new ErrandError('invalid_argument', `The image has ${what} in its working folder and volumes.`, {
        hint: 'Build it with less there, in shorter paths.',
      })
    }
    record.keep({ container: id, places: { work: volumes, imageBytes, data: this.#data?.volume } })
    return id
  }

  /** Where its data are, if it is to have any. */
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
      logBytes: Math.max(LEAST_LOG_BYTES, bytes(plan.limits.log) * KEPT_LOGS),
      runtime: plan.runtime ?? services.caps.runtimes[0],
      stopGraceSeconds: plan.stop_grace_seconds,
      data: this.#data,
      health: healthOrder(plan.health),
      labels: this.#labels,
    })
  }

  /** Before it is made with the container: nobody else would know that it is there for nothing. */
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

/** There is no image; `cause` says why. */
class ImageError extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

/** The ending of an attempt by an error. `phase`: what was told of its image last. */
export function failureEnding(error: unknown, phase: string | undefined): Ending {
  const { cause: source = error } = error as { cause?: unknown }
  const lost = [error, source].find((each) => each instanceof DockerLost || each instanceof HubAway)
  if (lost !== undefined) return { type: 'lost', why: told(lost) }
  if (error instanceof ImageError) {
    const code = source instanceof ErrandError ? source.code : ''
    const reason = imageReasons[code] ?? (phase === 'pulling' ? 'pull_failed' : undefined)
    if (reason) return { type: 'action_failed', reason, message: told(source) }
    return { type: 'start_failed', message: told(source) }
  }
  if (error instanceof ErrandError && error.code === 'invalid_argument')
    return { type: 'action_failed', reason: 'invalid_argument', message: told(error) }
  return { type: 'start_failed', message: told(error) }
}

function told(error: unknown): string {
  const { message, hint } = error as ErrandError
  return hint === undefined ? message : `${message} ${hint}`
}

const BETWEEN_MS = 500
const MAX_CHARACTERS = 300

/** Tells of a build or pull: each phase at once, and its last line now and then. */
export class BuildProgress {
  readonly #tell: (phase: string, line?: string) => void
  readonly #mask: (text: string) => string
  #phase = ''
  #line: string | undefined
  #toldAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(tell: (phase: string, line?: string) => void, mask: (text: string) => string) {
    this.#tell = tell
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
    // Bars are drawn over and over in one line.
    const shown = stripVTControlCharacters(text)
      .split(/[\r\n]/)
      .findLast((part) => part.trim() !== '')
    if (shown === undefined) return
    this.#line = this.#mask(shown)
      .replace(/\p{Cc}/gu, ' ')
      .trim()
      .slice(0, MAX_CHARACTERS)
    this.#timer ??= setTimeout(() => this.#now(), Math.max(0, this.#toldAtMs + BETWEEN_MS - Date.now()))
  }

  /** Nothing follows. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #now(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#toldAtMs = Date.now()
    this.#tell(this.#phase, this.#line)
  }
}
