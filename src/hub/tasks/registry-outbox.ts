import { setTimeout as sleep } from 'node:timers/promises'
import type { TaskRegistryClient } from '../../compat/task-registry.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { TaskEvent } from '../../contract/tasks/task-log.ts'
import type { TaskRecord } from '../../contract/tasks/task-record.ts'
import type { Log } from '../../platform/log.ts'
import { Backoff } from '../../platform/time.ts'
import type { TaskStore } from '../../stores/tasks/task-store.ts'
import type { OutsideServices } from '../ops/outside-services.ts'

export interface RegistryOutboxOptions {
  store: Pick<TaskStore, 'get' | 'events' | 'reportedTo' | 'markReported' | 'unreported'>
  registry: Pick<TaskRegistryClient, 'url' | 'setStatus' | 'addEvent' | 'addArtifact'>
  /** First wait in milliseconds if the registry is unreachable; doubled up to a minute. Default 1 s. */
  retryMs?: number
  /** Notes which calls to the registry worked and which failed. */
  outside?: Pick<OutsideServices, 'failed' | 'worked'>
  log: Log
}

/** Limits the tasks of one round, and the events of one read. */
const TASKS = 100
const EVENTS = 200
const MAX_WAIT_MS = 60_000

/**
 * Reports everything that enters the logs of tasks to an external task registry, in order. The log is the outbox:
 * each task stores how far it was reported. A registry that is unreachable therefore only delays the reports, also
 * across restarts, and fails no work. A report that it refuses is skipped and logged for the operator.
 */
export class RegistryOutbox {
  readonly #options: RegistryOutboxOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #wake: (() => void) | undefined
  #news = true

  constructor(options: RegistryOutboxOptions) {
    this.#options = options
    this.#done = this.#loop()
  }

  /** Looks for new events after something entered a log. */
  look(): void {
    this.#news = true
    this.#wake?.()
  }

  /** Stops reporting; may be called twice. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#wake?.()
    await this.#done
  }

  async #loop(): Promise<void> {
    const { store, registry, retryMs: firstMs = 1000, outside, log } = this.#options
    const { signal } = this.#stop
    const backoff = new Backoff({ firstMs, maxMs: MAX_WAIT_MS })
    const service = { service: 'task_registry', address: withoutLogin(registry.url) } as const
    while (!signal.aborted) {
      this.#news = false
      try {
        const ids = await store.unreported(TASKS)
        let failure: unknown
        for (const id of ids)
          await this.#report(id).catch((error) => {
            // A task that it refuses does not hold up the others.
            if (!(error instanceof ErrandError) || error.code !== 'service_answer') throw error
            failure ??= error
          })
        if (failure !== undefined) throw failure
        backoff.reset()
        if (ids.length > 0) outside?.worked(service)
        if (ids.length === 0) await this.#nextNews()
      } catch (error) {
        if (signal.aborted) return
        outside?.failed(service, error)
        log(`The task registry at ${registry.url} could not be updated; trying again: ${messageOf(error)}`, {
          level: 'warn',
        })
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
      }
    }
  }

  async #report(id: string): Promise<void> {
    const { store } = this.#options
    const record = await store.get(id)
    if (record === undefined) return
    for (let seq = await store.reportedTo(id); ; ) {
      const events = await store.events(id, seq, EVENTS)
      if (events.length === 0) return
      for (const event of events) {
        await this.#send(record, event)
        // Stored after each event. One that was sent but not noted is sent again, which changes nothing there.
        seq = event.seq
        await store.markReported(id, seq)
      }
    }
  }

  async #send(record: TaskRecord, event: TaskEvent): Promise<void> {
    const { registry, log } = this.#options
    const { signal } = this.#stop
    const { own_id, id } = record
    try {
      switch (event.type) {
        case 'task.created':
          return await registry.setStatus(own_id, { status: 'pending' }, signal)
        case 'task.try_started':
          await registry.setStatus(own_id, { status: 'running' }, signal)
          break
        case 'task.state': {
          const { state, reason, message } = event
          return await registry.setStatus(own_id, { status: state, metadata: { reason, message } }, signal)
        }
        case 'task.artifact': {
          const { kind, bytes, artifact_id } = event.artifact
          const uri = `errand://artifact/${event.from.run_id}/${artifact_id}`
          return await registry.addArtifact(own_id, { type: kind, uri, size_bytes: bytes }, signal)
        }
        case 'task.external_event':
        case 'task.external_artifact':
          // The event came from there.
          return
      }
      // The prompt of a follow-up try is only for its agent.
      const { seq, time, type, ...data } =
        event.type === 'task.follow' ? { ...event, prompt: undefined } : event
      await registry.addEvent(
        own_id,
        { event_type: type, data: { time, ...data }, event_id: `${id}.${seq}` },
        signal,
      )
    } catch (error) {
      if (!(error instanceof ErrandError) || error.code !== 'service_answer' || !isRefused(error)) throw error
      log(`The task registry did not accept event ${event.seq} of task ${id}: ${error.message}`, {
        level: 'warn',
      })
    }
  }

  async #nextNews(): Promise<void> {
    if (this.#news || this.#stop.signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }
}

/** Reports whether the registry has refused for good: it answered that the report is wrong. */
const isRefused = ({ details }: ErrandError): boolean => {
  const { status = 0 } = (details ?? {}) as { status?: number }
  return status >= 300 && status < 500 && status !== 429
}

function withoutLogin(address: string): string {
  const url = new URL(address)
  url.username = ''
  url.password = ''
  return url.href.replace(/\/+$/, '')
}
