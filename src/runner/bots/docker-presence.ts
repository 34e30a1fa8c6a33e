import { setTimeout as sleep } from 'node:timers/promises'
import { BoundedMap } from '../../platform/bounded-map.ts'
import type { ContainerEvent, DockerEngine } from '../docker/docker-engine.ts'

/** Ping interval in ms; an engine that keeps the connection but does not answer is noticed after two. */
const PING_MS = 5_000
/** Milliseconds between tries to listen again. */
const AGAIN_MS = 250
/** Limit for containers whose signals are remembered. */
const MOST_SIGNALED = 1_000

export interface DockerPresenceOptions {
  /** Connects. Throws if the engine is away. */
  engine(): Promise<Pick<DockerEngine, 'events' | 'ping'>>
  /** Runner whose containers are watched. */
  runner: string
  /** Interval in ms; default 5,000. */
  pingMs?: number
}

/** Receives events of a container; without one, the engine has gone or is back. */
export type PresenceListener = (event: ContainerEvent | undefined) => void

/**
 * Detects at once when the engine goes away and comes back, and collects its events of this runner's containers until
 * then.
 */
export class DockerPresence {
  readonly #options: DockerPresenceOptions
  readonly #stop = new AbortController()
  readonly #listeners = new Set<PresenceListener>()
  readonly #timer: NodeJS.Timeout
  readonly #signaled = new BoundedMap<string, number>(MOST_SIGNALED)
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

  /** Time since when it has not answered; undefined while it does. */
  get awaySince(): string | undefined {
    return this.#awaySinceMs === undefined ? undefined : new Date(this.#awaySinceMs).toISOString()
  }

  /** Reports whether it was away at any time since then. */
  wasAwaySince(ms: number): boolean {
    return this.#awaySinceMs !== undefined || this.#lastGoneMs >= ms
  }

  /** Reports whether this process was listening at that time, or before it until the engine went away. */
  hasListenedAt(ms: number): boolean {
    return this.#listensSinceMs <= ms
  }

  /** Reports whether this process has seen a signal to the container since then. */
  receivedSignal(id: string, sinceMs: number): boolean {
    return (this.#signaled.get(id) ?? Number.NEGATIVE_INFINITY) >= sinceMs
  }

  /** Subscribes to changes; returns a function that unsubscribes. */
  onChange(listener: PresenceListener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Stops listening. Idempotent. */
  close(): void {
    clearInterval(this.#timer)
    this.#listeners.clear()
    this.#stop.abort()
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const isReached = await this.#readEvents()
      if (signal.aborted) return
      const goneMs = Date.now()
      if (isReached) this.#lastGoneMs = goneMs
      await this.#ping(goneMs)
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => {})
    }
  }

  /** Listens until the engine hangs up; returns whether there was a connection. */
  async #readEvents(): Promise<boolean> {
    const { engine, runner } = this.#options
    let received = false
    try {
      for await (const event of (await engine()).events({ runner }, this.#stop.signal)) {
        received = true
        if (event.type !== 'open') this.#take(event)
        else {
          this.#listensSinceMs = Math.min(this.#listensSinceMs, Date.now())
          this.#back()
        }
      }
    } catch {
      // It is gone, or does not answer.
    }
    return received
  }

  #take(event: ContainerEvent): void {
    if (event.type === 'signaled') {
      this.#signaled.set(event.id, event.atMs)
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
    this.#notifyAll()
  }

  #back(): void {
    if (this.#awaySinceMs === undefined) return
    this.#awaySinceMs = undefined
    this.#lastGoneMs = Date.now()
    this.#notifyAll()
  }

  #notifyAll(): void {
    for (const listener of [...this.#listeners]) listener(undefined)
  }
}
