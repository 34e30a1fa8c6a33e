import type { RunEvent } from '../../contract/events.ts'
import { outsideServiceNames } from '../../contract/hub-api.ts'
import type { RunnerView } from '../../contract/protocol.ts'
import { finalRunStatuses } from '../../contract/status.ts'
import { addProcessMetrics, type Histogram, Metrics, type Reading } from '../../platform/metrics.ts'

/** Figures that the fleet reports. */
export interface FleetFigures {
  runners: RunnerView[]
  /** Attempts that wait for a runner, by group. */
  waiting: ReadonlyMap<string, number>
  /** Links of runners since the hub's start: how many were opened and how many have closed. */
  links: { opened: number; closed: number }
  /** Number of runners that came back since the hub's start. */
  reconnects: number
}

export interface HubMetricsOptions {
  version: string
  /** Counts open runs by status. Called for each text, like `fleet`. */
  openRuns(): Record<'queued' | 'running', number>
  /** Counts the runs that are set aside. */
  setAside(): number
  fleet(): FleetFigures
  /** Counts the outside services that fail, by name. */
  failingServices(): ReadonlyMap<string, number>
}

const DELAY_SECONDS = [0.001, 0.01, 0.1, 1, 10, 60, 600, 3600]

/** The hub's metrics. They are counted where events happen, or read from memory; the store is never asked. */
export class HubMetrics {
  readonly #metrics = new Metrics()
  readonly #stop: () => void
  readonly #delays: PlacementDelays
  readonly #created = this.#metrics.counter('errand_runs_created_total', 'Runs created.')
  readonly #finished = this.#metrics.counter('errand_runs_finished_total', 'Runs ended, by status.')
  readonly #attempts = this.#metrics.counter(
    'errand_attempts_finished_total',
    'Attempts ended, by outcome and reason.',
  )
  readonly #events = this.#metrics.counter('errand_events_total', 'Events committed.')
  readonly #output = this.#metrics.counter('errand_output_bytes_total', 'Bytes of output reported by events.')
  readonly #resumed = this.#metrics.counter(
    'errand_event_readers_resumed_total',
    'Readers of events that reconnected after a broken connection.',
  )
  #readers = 0

  constructor({ version, openRuns, setAside, fleet, failingServices }: HubMetricsOptions) {
    const metrics = this.#metrics
    this.#delays = new PlacementDelays(
      metrics.histogram(
        'errand_placement_delay_seconds',
        'Time from the creation of an attempt until it has a runner.',
        DELAY_SECONDS,
      ),
    )
    for (const counter of [this.#created, this.#events, this.#output, this.#resumed]) counter.add(0)
    for (const status of finalRunStatuses) this.#finished.add(0, { status })
    metrics.gauge('errand_info', 'The version, as a label.', () => [{ value: 1, labels: { version } }])
    metrics.gauge('errand_runs', 'Open runs, by status.', () => byLabel('status', Object.entries(openRuns())))
    metrics.gauge('errand_runs_set_aside', 'Open runs that are set aside until they are resumed.', () => [
      { value: setAside() },
    ])
    metrics.gauge('errand_event_readers', 'Requests that follow events.', () => [{ value: this.#readers }])
    metrics.gauge('errand_queue_depth', 'Attempts that wait for a runner, by group.', () =>
      byLabel('group', queues(fleet())),
    )
    metrics.gauge('errand_runners', 'Runners, by group and status.', () =>
      sums(
        fleet().runners,
        ({ group, status }) => ({ group, status }),
        () => 1,
      ),
    )
    metrics.gauge('errand_runner_slots', 'Slots of the connected runners, by group.', () =>
      sums(
        present(fleet()),
        ({ group }) => ({ group }),
        ({ slots }) => slots,
      ),
    )
    metrics.gauge('errand_runner_slots_used', 'Used slots of the connected runners, by group.', () =>
      sums(
        present(fleet()),
        ({ group }) => ({ group }),
        ({ running }) => running,
      ),
    )
    metrics.gauge('errand_runner_bots', 'Bots on the connected runners, by group.', () =>
      sums(
        present(fleet()),
        ({ group }) => ({ group }),
        ({ bots = 0 }) => bots,
      ),
    )
    metrics.gauge(
      'errand_runner_boxes',
      'Connected runners that can run steps in boxes, by group and kind.',
      () =>
        (['sandbox', 'container'] as const).flatMap((kind) =>
          sums(
            present(fleet()),
            ({ group }) => ({ group, kind }),
            ({ isolation }) => (isolation?.[kind].usable ? 1 : 0),
          ),
        ),
    )
    metrics.counted('errand_runner_links_total', 'Links of runners, opened and closed.', () =>
      byLabel('event', Object.entries(fleet().links)),
    )
    metrics.counted('errand_runner_reconnects_total', 'Runners that reconnected.', () => [
      { value: fleet().reconnects },
    ])
    metrics.gauge('errand_outside_services_failing', 'Outside services that are failing, by kind.', () => {
      const counts = failingServices()
      return byLabel(
        'service',
        outsideServiceNames.map((name) => [name, counts.get(name) ?? 0]),
      )
    })
    this.#stop = addProcessMetrics(metrics)
  }

  /** Counts events of a run, after their commit. */
  seen(runId: string, events: readonly RunEvent[]): void {
    if (events.length > 0) this.#events.add(events.length)
    for (const event of events) {
      if (event.type === 'output') this.#output.add(event.length)
      else if (event.type === 'run.created') this.#created.add()
      else if (event.type === 'run.finished') this.#finished.add(1, { status: event.status })
      else if (event.type === 'attempt.finished')
        this.#attempts.add(1, { outcome: event.outcome, reason: event.reason ?? '' })
      this.#delays.seen(runId, event)
    }
  }

  /** Takes events from before the hub's start, of a run that is resumed. */
  restore(runId: string, events: readonly RunEvent[]): void {
    this.#delays.restore(runId, events)
  }

  /**
   * Counts a reader of the events of a run; `resumed` means it has read before. Returns a function to call at the
   * end.
   */
  reader(resumed: boolean): () => void {
    this.#readers++
    if (resumed) this.#resumed.add()
    return () => void this.#readers--
  }

  text(): string {
    return this.#metrics.text()
  }

  /** Stops measuring; may be called twice. */
  close(): void {
    this.#stop()
  }
}

/** A group with runners is included even if nothing waits for it: a missing metric is not the same as 0. */
const queues = ({ runners, waiting }: FleetFigures): Map<string, number> =>
  new Map([...runners.map(({ group }) => [group, 0] as const), ...waiting])

const present = ({ runners }: FleetFigures) => runners.filter(({ status }) => status !== 'disconnected')

const byLabel = (label: string, values: Iterable<readonly [string, number]>): Reading =>
  [...values].map(([name, value]) => ({ value, labels: { [label]: name } }))

function sums(
  runners: readonly RunnerView[],
  labels: (runner: RunnerView) => Record<string, string>,
  value: (runner: RunnerView) => number,
): Reading {
  const found = new Map<string, { value: number; labels: Record<string, string> }>()
  for (const runner of runners) {
    const own = labels(runner)
    const key = JSON.stringify(own)
    const sum = found.get(key) ?? { value: 0, labels: own }
    found.set(key, sum)
    sum.value += value(runner)
  }
  return [...found.values()]
}

/** Measures how long attempts wait for a runner, from their events, also across a restart of the hub. */
export class PlacementDelays {
  readonly #seconds: Histogram
  /** Creation times of waiting attempts, by run and attempt. */
  readonly #waiting = new Map<string, Map<number, number>>()

  constructor(seconds: Histogram) {
    this.#seconds = seconds
  }

  seen(runId: string, event: RunEvent): void {
    if (event.type === 'attempt.created') {
      if (event.epoch > 0) this.#seconds.observe(0)
      else this.#wait(runId, event.attempt, Date.parse(event.time))
    } else if (event.type === 'attempt.assigned') {
      const sinceMs = this.#waiting.get(runId)?.get(event.attempt)
      if (sinceMs !== undefined) this.#seconds.observe(Math.max(0, Date.parse(event.time) - sinceMs) / 1000)
      this.#drop(runId, event.attempt)
    } else if (event.type === 'attempt.finished') this.#drop(runId, event.attempt)
    else if (event.type === 'run.finished') this.#waiting.delete(runId)
  }

  /** Takes the earlier events of a resumed run in order, and remembers since when its attempts wait. */
  restore(runId: string, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (event.type === 'attempt.created' && event.epoch === 0)
        this.#wait(runId, event.attempt, Date.parse(event.time))
      else if (event.type === 'attempt.assigned' || event.type === 'attempt.finished')
        this.#drop(runId, event.attempt)
      else if (event.type === 'run.finished') this.#waiting.delete(runId)
    }
  }

  #wait(runId: string, attempt: number, sinceMs: number): void {
    const attempts = this.#waiting.get(runId) ?? new Map<number, number>()
    this.#waiting.set(runId, attempts.set(attempt, sinceMs))
  }

  #drop(runId: string, attempt: number): void {
    const attempts = this.#waiting.get(runId)
    if (attempts?.delete(attempt) && attempts.size === 0) this.#waiting.delete(runId)
  }
}
