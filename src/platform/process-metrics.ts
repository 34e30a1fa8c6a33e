import type { Metrics } from './metrics.ts'
import { openDescriptors } from './process-tree.ts'

/** How often the event loop's lag is looked at: seldom, so that an idle process stays idle. */
const LOOK_MS = 500

/** Adds the figures of this process, named as other programs name them. Answers what stops measuring. */
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
    'The most that the event loop was late since these figures were last read.',
    () => one(worstLag()),
  )
  return () => clearInterval(timer)
}
