import { messageOf } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunStatus } from '../../contract/status.ts'
import { unlessAborted, within } from '../../platform/races.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import type { Notification, Notifier } from '../ports.ts'

export interface NotifyOptions {
  /** Number of tries in all; default 3. */
  maxAttempts?: number
  /** Milliseconds between tries; default 1,000. */
  delayMs?: number
  /** Most milliseconds that one try may take; default 30,000. */
  timeoutMs?: number
}

/** Sends each change of state to a notifier, in order for each run. Failures are stored and change nothing. */
export class Notifications {
  readonly #notifier: Notifier
  readonly #options: Required<NotifyOptions>
  readonly #failed: (runId: string, error: string) => Promise<void>
  readonly #queue = new KeyedMutex()
  readonly #abort = new AbortController()

  constructor(
    notifier: Notifier,
    options: NotifyOptions,
    failed: (runId: string, error: string) => Promise<void>,
  ) {
    this.#notifier = notifier
    const { maxAttempts = 3, delayMs = 1000, timeoutMs = 30_000 } = options
    this.#options = { maxAttempts, delayMs, timeoutMs }
    this.#failed = failed
  }

  add(notification: Notification): void {
    void this.#queue.run(notification.run_id, () => this.#send(notification))
  }

  /** Resolves when all that was added for the run is sent or given up. */
  async settled(runId: string): Promise<void> {
    await this.#queue.settled(runId)
  }

  /** Gives up what has not been sent. */
  async close(): Promise<void> {
    this.#abort.abort()
    await this.#queue.settled()
  }

  async #send(notification: Notification): Promise<void> {
    const { maxAttempts, delayMs } = this.#options
    let failure: string | undefined
    for (let attempt = 1; attempt <= maxAttempts && !this.#abort.signal.aborted; attempt++) {
      if (attempt > 1) await pause(delayMs, this.#abort.signal)
      failure = await this.#try(notification)
      if (failure === undefined) return
    }
    if (failure !== undefined) await this.#failed(notification.run_id, failure).catch(() => {})
  }

  /**
   * Sends a notification; returns what went wrong. A notifier that never returns is abandoned, because it must not
   * delay the end of a run.
   */
  async #try(notification: Notification): Promise<string | undefined> {
    const { timeoutMs } = this.#options
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#abort.signal, stop.signal])
    const sent = (async () => this.#notifier.notify(notification, signal))()
    const sentOrClosed = unlessAborted(signal, sent, () => {
      throw new Error('closed before it was sent')
    })
    try {
      await within(timeoutMs, sentOrClosed, () => {
        throw new Error(`no answer within ${timeoutMs} ms`)
      })
      return undefined
    } catch (error) {
      return messageOf(error)
    } finally {
      stop.abort()
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
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

/** Makes a notifier's message for an event; most events have none. */
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
