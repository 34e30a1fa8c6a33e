import type { RunEvent } from '../../contract/events.ts'
import type { RunView } from '../../contract/run.ts'
import { jsonText } from '../print.ts'

/** Holds the step and host of an event that does not name them itself. */
interface LinePosition {
  step?: string
  host?: string
}

/**
 * Formats the lines of `--json`: the events of a run and its children, each with its `run_id`, and with its step and
 * host if it has them. An event whose `run_id` names another run has its own run as `in_run_id`.
 */
export class JsonLines {
  readonly #runId: string
  readonly #attempts = new Map<string, LinePosition>()
  readonly #hosts = new Map<string, readonly string[]>()

  constructor(runId: string) {
    this.#runId = runId
  }

  /** Learns the attempts of a run that began before the first event. */
  knows({ run_id, steps }: RunView): void {
    for (const { step, instances } of steps)
      for (const { host, attempts } of instances)
        for (const { number } of attempts) this.#attempts.set(`${run_id} ${number}`, { step, host })
  }

  /** Formats an event. The event of a child is wrapped in a `child.event`, as it belongs to another log. */
  event(event: RunEvent, runId: string): string {
    const own = 'run_id' in event ? { in_run_id: runId } : { run_id: runId }
    const whole = { ...event, ...own, ...this.#placeOf(event, runId) }
    return this.#line(runId === this.#runId ? whole : { type: 'child.event', run_id: runId, event: whole })
  }

  /** Formats the last line. */
  result(run: unknown): string {
    return this.#line({ type: 'result', run_id: this.#runId, run })
  }

  #placeOf(event: RunEvent, runId: string): LinePosition {
    if (event.type === 'step.started')
      this.#hosts.set(
        `${runId} ${event.phase} ${event.step}`,
        event.instances.map(({ host }) => host),
      )
    if ('attempt' in event) {
      const key = `${runId} ${event.attempt}`
      if (event.type === 'attempt.created') this.#attempts.set(key, { step: event.step, host: event.host })
      return this.#attempts.get(key) ?? {}
    }
    if ('instance' in event)
      return { host: this.#hosts.get(`${runId} ${event.phase} ${event.step}`)?.[event.instance] }
    return {}
  }

  #line(value: unknown): string {
    return `${jsonText(value)}\n`
  }
}
