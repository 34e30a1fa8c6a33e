import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FairSemaphore } from '../../platform/fair-semaphore.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { unlessAborted, within } from '../../platform/races.ts'
import type { DockerEngine } from '../docker/docker-engine.ts'
import type { HubRequests } from '../link/hub-requests.ts'
import type { Asking } from '../link/hub-retry.ts'
import { type BotCaps, botCaps } from './bot-caps.ts'
import type { SendData } from './bot-data.ts'
import { LiveBots } from './container-watch.ts'
import { dockerName } from './docker-here.ts'
import { DockerPresence } from './docker-presence.ts'
import type { PrepareImage } from './images/image-order.ts'

export interface BotsOptions {
  /** Persistent folder: this runner's name at the engine, keys of images. */
  stateDir: string
  /** Environment of the runner. */
  env: NodeJS.ProcessEnv
  /** Connects to the engine. Throws `unavailable` if there is none. */
  connect(env: NodeJS.ProcessEnv, runner: string): Promise<DockerEngine>
  /** Prepares images; loaded by the runner for the first bot. */
  prepareImage: PrepareImage
  /** Downloads an upload from the hub into this file, with its hash verified. Throws `HubAway`, `source_refused`. */
  fetchUpload(sha256: string, file: string, asking: Asking): Promise<void>
  /** Sends the data of a bot to the hub, which has requested them. */
  sendData: SendData
  /** Interval in ms; default 30,000. */
  networkLookMs?: number
}

/** Least ms between checks of the network's guard. */
const NETWORK_HOLDS_MS = 10_000
/** Limit in ms, so that a hanging engine does not hold up an end. */
const RELEASE_MS = 2_000
/** Interval in ms while there are bots. */
const NETWORK_LOOK_MS = 30_000

const SIZE_HOLDS_MS = 1_000
/** Limit in bytes for measuring data; otherwise a bot that makes files without end would be measured without end. */
const MEASURED_BYTES = 1024 ** 4

/** Holds what the bots of this machine share. */
export class BotServices {
  readonly options: BotsOptions
  readonly uses: ImageUses
  readonly caps: BotCaps
  readonly #builds: FairSemaphore
  readonly live = new LiveBots()
  #engine: Promise<DockerEngine> | undefined
  #presence: DockerPresence | undefined
  #network: { atMs: number; ready: Promise<void> } | undefined
  #networkTimer: NodeJS.Timeout | undefined
  #runner: string | undefined
  readonly #sizes = new Map<string, { bytes: Promise<number>; untilMs: number }>()
  readonly #closed = new AbortController()

  /** Reads the settings. Throws `invalid_argument` if one is wrong. */
  constructor(options: BotsOptions) {
    this.options = options
    this.caps = botCaps(options.env)
    this.#builds = new FairSemaphore(this.caps.builds)
    this.uses = new ImageUses(join(options.stateDir, 'image-uses.json'))
  }

  /** Name of the runner at the engine; created at the first use. */
  get runner(): string {
    this.#runner ??= dockerName(this.options.stateDir)
    return this.#runner
  }

  /** Connects at the first use. */
  engine(): Promise<DockerEngine> {
    this.#engine ??= this.options.connect(this.options.env, this.runner).catch((error) => {
      this.#engine = undefined
      throw error
    })
    return this.#engine
  }

  /** Listens to the engine from the first call on. */
  presence(): DockerPresence {
    if (this.#presence === undefined) {
      this.#presence = new DockerPresence({ engine: () => this.engine(), runner: this.runner })
      this.#presence.onChange((event) => {
        // A restarted engine may have its own idea of the rules.
        if (event === undefined) this.#network = undefined
      })
      this.live.watch(this.#presence)
      this.#networkTimer = setInterval(
        () => void this.#lookAtNetwork(),
        this.options.networkLookMs ?? NETWORK_LOOK_MS,
      )
      this.#networkTimer.unref()
    }
    return this.#presence
  }

  /** Ensures that the network for bots exists, and is closed. */
  networkReady(engine: DockerEngine): Promise<void> {
    const now = Date.now()
    if (this.#network && now - this.#network.atMs < NETWORK_HOLDS_MS) return this.#network.ready
    const ready = engine.prepareNetwork().catch((error) => {
      this.#network = undefined
      throw error
    })
    this.#network = { atMs: now, ready }
    return ready
  }

  /** Restores rules that somebody has changed; each bot reports why that fails. */
  async #lookAtNetwork(): Promise<void> {
    if (this.live.all().length === 0) return
    try {
      await this.networkReady(await this.engine())
      this.live.cannotReach(undefined)
    } catch (error) {
      // The absence of its engine is reported already.
      if (this.#presence?.awaySince === undefined) this.live.cannotReach((error as Error).message)
    }
  }

  /** Resolves when an image of this owner may be built, until the turn is disposed of; `tell` hears of a wait. */
  async buildTurn(owner: string, signal: AbortSignal, report: (line: string) => void): Promise<Disposable> {
    const { builds } = this.caps
    if (this.#builds.ahead(owner) >= builds)
      report(
        `Waiting for other builds: this runner builds at most ${builds} ${builds === 1 ? 'image' : 'images'} at once.`,
      )
    const turn = this.#builds.acquire(owner)
    try {
      return await unlessAborted(signal, turn)
    } catch (error) {
      void turn.then((unused) => unused[Symbol.dispose]())
      throw error
    }
  }

  /** Returns the bytes in the volume, at most a second old: concurrent callers share one measurement. */
  measured(engine: DockerEngine, volume: string): Promise<number> {
    const before = this.#sizes.get(volume)
    if (before && Date.now() < before.untilMs) return before.bytes
    const signal = this.#closed.signal
    const bytes = engine.volumeBytes([volume], { enoughBytes: MEASURED_BYTES, signal })
    const size = { bytes, untilMs: Number.POSITIVE_INFINITY }
    this.#sizes.set(volume, size)
    const over = () => {
      size.untilMs = Date.now() + SIZE_HOLDS_MS
    }
    bytes.then(over, over)
    return bytes
  }

  /** Closes the services; containers continue. Idempotent. */
  async close(): Promise<void> {
    this.#closed.abort()
    this.live.close()
    this.#presence?.close()
    clearInterval(this.#networkTimer)
    const engine = await this.#engine?.catch(() => undefined)
    // The next process creates it again, or removes it.
    const released = engine?.releaseNetwork().catch(() => undefined)
    if (released) await within(RELEASE_MS, released, () => undefined)
    engine?.close()
  }
}

/** Stores when each image, by its id, was last used for a bot: an engine does not know. */
class ImageUses {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  used(imageId: string, atMs: number): void {
    this.#write({ ...this.all(), [imageId]: atMs })
  }

  forget(imageIds: readonly string[]): void {
    const left = Object.entries(this.all()).filter(([id]) => !imageIds.includes(id))
    this.#write(Object.fromEntries(left))
  }

  all(): Record<string, number> {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Record<string, number>
    } catch {
      return {}
    }
  }

  /** Writes the uses. Without them, images are sorted by the time of their build: no reason to fail a bot. */
  #write(uses: Record<string, number>): void {
    try {
      writeFileAtomic(this.#file, JSON.stringify(uses), { mode: 0o600, durable: false })
    } catch {
      // The disk is full, and the bot will report that.
    }
  }
}

export interface MachineBotsOptions {
  /** Folder of the runner. */
  folder: string
  env: NodeJS.ProcessEnv
  hub: HubRequests
}

/** Makes the bot services of a runner's machine. What only a bot needs is loaded with the first one. */
export function machineBots({ folder, env, hub }: MachineBotsOptions): BotServices {
  return new BotServices({
    stateDir: join(folder, 'bots'),
    env,
    connect: async (...to) => (await import('../docker/connected-docker.ts')).connectDocker(...to),
    prepareImage: async (order) => (await import('./images/prepare-image.ts')).prepareImage(order),
    fetchUpload: async (...upload) => (await import('./fetch-upload.ts')).fetchUpload(hub, ...upload),
    sendData: async (...data) => (await import('./fetch-upload.ts')).sendData(hub, ...data),
  })
}
