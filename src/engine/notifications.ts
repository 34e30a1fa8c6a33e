import type { RunEvent } from '../contract/events.ts'
import type { RunStatus } from '../contract/status.ts'
import type { Notification, Notifier } from './ports.ts'

export interface NotifyOptions {
  /** Tries in all; default 3. */
  maxAttempts?: number
  /** Wait between tries; default 1,000. */
  delayMs?: number
}

/** Tells a notifier of each change of state, in order for each run. What fails is kept, and changes nothing. */
export class Notifications {
  readonly #notifier: Notifier
  readonly #options: Required<NotifyOptions>
  readonly #failed: (runId: string, error: string) => Promise<void>
  readonly #chains = new Map<string, Promise<void>>()
  readonly #abort = new AbortController()

  constructor(notifier: Notifier, options: NotifyOptions, failed: (runId: string, error: string) => Promise<void>) {
    this.#notifier = notifier
    this.#options = { maxAttempts: options.maxAttempts ?? 3, delayMs: options.delayMs ?? 1000 }
    this.#failed = failed
  }

  add(notification: Notification): void {
    const { run_id } = notification
    const chain = (this.#chains.get(run_id) ?? Promise.resolve()).then(() => this.#send(notification))
    this.#chains.set(run_id, chain)
    void chain.then(() => {
      if (this.#chains.get(run_id) === chain) this.#chains.delete(run_id)
    })
  }

  /** Resolves when all that was added for the run is sent or given up. */
  async settled(runId: string): Promise<void> {
    await this.#chains.get(runId)
  }

  /** What has not been sent is given up. */
  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#chains.values())
  }

  async #send(notification: Notification): Promise<void> {
    let failure = ''
    for (let attempt = 1; attempt <= this.#options.maxAttempts && !this.#abort.signal.aborted; attempt++) {
      if (attempt > 1) await pause(this.#options.delayMs, this.#abort.signal)
      try {
        return await this.#notifier.notify(notification, this.#abort.signal)
      } catch (error) {
        failure = error instanceof Error ? error.message : String(error)
      }
    }
    await this.#failed(notification.run_id, failure || 'closed before it was sent').catch(() => {})
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
  })
}

/** What an event says to a notifier; most say nothing. */
export function notificationOf(
  event: RunEvent,
  run: { run_id: string; workflow_name: string },
  version: string,
): Notification | undefined {
  const of = (status: RunStatus, more: Partial<Notification> = {}): Notification => ({
    run_id: run.run_id,
    workflow_name: run.workflow_name,
    status,
    timestamp: event.time,
    version,
    ...more,
  })
  switch (event.type) {
    case 'run.created':
      return of('queued')
    case 'run.started':
      return of('running')
    case 'attempt.created':
      return of('running', { step: event.step, host: event.host })
    case 'attempt.finished':
      return of(event.outcome, { step: event.step, host: event.host, error: event.message })
    case 'run.finished':
      return of(event.status, { error: event.message })
    default:
      return undefined
  }
}
