import type { AttemptLimits } from '../../contract/attempt.ts'

/** Of each limit the lower. */
export function least(a: AttemptLimits, b: AttemptLimits): AttemptLimits {
  const of = (key: keyof AttemptLimits) => {
    const value = Math.min(a[key] ?? Infinity, b[key] ?? Infinity)
    return value === Infinity ? undefined : value
  }
  return {
    cpus: of('cpus'),
    memory_bytes: of('memory_bytes'),
    processes: of('processes'),
    disk_bytes: of('disk_bytes'),
  }
}
