import { openDescriptors } from './proc.ts'

export type Labels = Readonly<Record<string, string>>

interface Family {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  lines(): Iterable<string>
}

/** A figure that only grows. */
export class Counter {
  readonly #values = new Map<string, number>()
  readonly #name: string

  constructor(name: string) {
    this.#name = name
  }

  add(by = 1, labels?: Labels): void {
    const key = labelText(labels)
    this.#values.set(key, (this.#values.get(key) ?? 0) + by)
  }

  *lines(): Iterable<string> {
    for (const [labels, value] of this.#values) yield `${this.#name}${labels} ${value}`
  }
}

/** Counts the observed values up to each bound, and sums them. */
export class Histogram {
  readonly #counts: number[]
  readonly #bounds: readonly number[]
  readonly #name: string
  #sum = 0
  #count = 0

  /** `bounds` must be in ascending order. */
  constructor(name: string, bounds: readonly number[]) {
    this.#name = name
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number): void {
    this.#sum += value
    this.#count++
    const first = this.#bounds.findIndex((bound) => value <= bound)
    if (first >= 0) this.#counts[first]!++
  }

  *lines(): Iterable<string> {
    let below = 0
    for (const [index, bound] of this.#bounds.entries()) {
      below += this.#counts[index]!
      yield `${this.#name}_bucket{le="${bound}"} ${below}`
    }
    yield `${this.#name}_bucket{le="+Inf"} ${this.#count}`
    yield `${this.#name}_sum ${this.#sum}`
    yield `${this.#name}_count ${this.#count}`
  }
}

/** A value for each set of labels, read when the text is requested. */
export type Reading = readonly { value: number; labels?: Labels }[]

/** Exports a process's metrics in Prometheus text format 0.0.4. */
export class Metrics {
  readonly #families: Family[] = []

  counter(name: string, help: string): Counter {
    const counter = new Counter(name)
    this.#families.push({ name, help, type: 'counter', lines: () => counter.lines() })
    return counter
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(name, bounds)
    this.#families.push({ name, help, type: 'histogram', lines: () => histogram.lines() })
    return histogram
  }

  /** `read` is called for each text. */
  gauge(name: string, help: string, read: () => Reading): void {
    this.#read('gauge', name, help, read)
  }

  /** Adds a counter whose value is maintained elsewhere. */
  counted(name: string, help: string, read: () => Reading): void {
    this.#read('counter', name, help, read)
  }

  text(): string {
    let text = ''
    for (const { name, help, type, lines } of this.#families) {
      text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
      for (const line of lines()) text += `${line}\n`
    }
    return text
  }

  #read(type: 'counter' | 'gauge', name: string, help: string, read: () => Reading): void {
    const lines = () => read().map(({ value, labels }) => `${name}${labelText(labels)} ${value}`)
    this.#families.push({ name, help, type, lines })
  }
}

function labelText(labels: Labels | undefined): string {
  if (labels === undefined) return ''
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return `{${pairs.join(',')}}`
}

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

/** Interval at which the event loop's lag is sampled: long, so that an idle process stays idle. */
const LOOK_MS = 500

/** Adds the figures of this process under their usual Prometheus names. Returns a function that stops measuring. */
export function addProcessMetrics(metrics: Metrics): () => void {
  const startedSeconds = Date.now() / 1000 - process.uptime()
  const cpuSeconds = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  }
  let lagMs = 0
  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    lagMs = Math.max(lagMs, nowMs - lastMs - LOOK_MS)
    lastMs = nowMs
  }, LOOK_MS).unref()
  const worstLag = () => {
    const seconds = lagMs / 1000
    lagMs = 0
    return seconds
  }
  const one = (value: number) => [{ value }]
  metrics.gauge('process_resident_memory_bytes', 'Resident memory.', () => one(process.memoryUsage.rss()))
  metrics.counted('process_cpu_seconds_total', 'CPU time, user and system.', () => one(cpuSeconds()))
  metrics.gauge('process_open_fds', 'Open file descriptors.', () => {
    const count = openDescriptors()
    return count === undefined ? [] : one(count)
  })
  metrics.gauge('process_start_time_seconds', 'When the process started, since 1970.', () =>
    one(startedSeconds),
  )
  metrics.gauge(
    'nodejs_eventloop_lag_seconds',
    'Longest delay of the event loop since these figures were last read.',
    () => one(worstLag()),
  )
  return () => clearInterval(timer)
}
