import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerEvent, DockerEngine } from '../docker/docker-engine.ts'

/** An engine that does not hang up and does not answer is noticed after two of them. */
const PING_MS = 5_000
/** Between two tries to listen again. */
const AGAIN_MS = 250
/** Containers whose signals are remembered. */
const MOST_SIGNALED = 1_000

export interface DockerPresenceOptions {
  /** Connects. Throws where it is away. */
  engine(): Promise<Pick<DockerEngine, 'events' | 'ping'>>
  /** Whose containers are listened to. */
  runner: string
  /** Default 5,000. */
  pingMs?: number
}

/** Told of what happens to a container; of none: the engine has gone, or is back. */
export type PresenceListener = (event: ContainerEvent | undefined) => void

/** Knows at once when the engine goes away and comes back, and what it tells of this runner's containers until then. */
export class DockerPresence {
  readonly #options: DockerPresenceOptions
  readonly #stop = new AbortController()
  readonly #listeners = new Set<PresenceListener>()
  readonly #timer: NodeJS.Timeout
  readonly #signaled = new Map<string, number>()
  #awaySinceMs: number | undefined
  #lastGoneMs = Number.NEGATIVE_INFINITY
  #listensSinceMs = Number.POSITIVE_INFINITY
  #pinging = false

  /** Listens from now on. */
  constructor(options: DockerPresenceOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#ping(), options.pingMs ?? PING_MS)
    this.#timer.unref()
    void this.#listen()
  }

  /** Since when it has not answered; undefined while it does. */
  get awaySince(): string | undefined {
    return this.#awaySinceMs === undefined ? undefined : new Date(this.#awaySinceMs).toISOString()
  }

  /** Whether it was away at some time since then. */
  wasAwaySince(ms: number): boolean {
    return this.#awaySinceMs !== undefined || this.#lastGoneMs >= ms
  }

  /** Whether this process has listened at that time, or before it until the engine went away. */
  hasListenedAt(ms: number): boolean {
    return this.#listensSinceMs <= ms
  }

  /** The container was sent a signal since then, as this process has heard while it happened. */
  heardSignal(id: string, sinceMs: number): boolean {
    return (this.#signaled.get(id) ?? Number.NEGATIVE_INFINITY) >= sinceMs
  }

  /** Answers how to stop being told. */
  onChange(listener: PresenceListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer)
    this.#listeners.clear()
    this.#stop.abort()
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const heard = await this.#hear()
      if (signal.aborted) return
      const goneMs = Date.now()
      if (heard) this.#lastGoneMs = goneMs
      await this.#ping(goneMs)
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Until the engine hangs up; whether it was heard. */
  async #hear(): Promise<boolean> {
    const { engine, runner } = this.#options
    let heard = false
    try {
      for await (const event of (await engine()).events({ runner }, this.#stop.signal)) {
        heard = true
        if (event.type !== 'open') this.#take(event)
        else {
          this.#listensSinceMs = Math.min(this.#listensSinceMs, Date.now())
          this.#back()
        }
      }
    } catch {
      // It is gone, or would not answer.
    }
    return heard
  }

  #take(event: ContainerEvent): void {
    if (event.type === 'signaled') {
      this.#signaled.delete(event.id)
      this.#signaled.set(event.id, event.atMs)
      if (this.#signaled.size > MOST_SIGNALED) this.#signaled.delete(this.#signaled.keys().next().value!)
    }
    for (const listener of [...this.#listeners]) listener(event)
  }

  async #ping(goneMs = Date.now()): Promise<void> {
    if (this.#pinging || this.#stop.signal.aborted) return
    this.#pinging = true
    try {
      const { engine, pingMs = PING_MS } = this.#options
      await (await engine()).ping(pingMs)
      this.#back()
    } catch {
      this.#gone(goneMs)
    } finally {
      this.#pinging = false
    }
  }

  #gone(sinceMs: number): void {
    if (this.#awaySinceMs !== undefined || this.#stop.signal.aborted) return
    this.#awaySinceMs = sinceMs
    this.#lastGoneMs = sinceMs
    this.#tellAll()
  }

  #back(): void {
    if (this.#awaySinceMs === undefined) return
    this.#awaySinceMs = undefined
    this.#lastGoneMs = Date.now()
    this.#tellAll()
  }

  #tellAll(): void {
    for (const listener of [...this.#listeners]) listener(undefined)
  }
}
