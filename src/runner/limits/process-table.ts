import {
  environmentOf,
  type ProcessStat,
  pageBytes,
  parseStat,
  procText,
  visibleProcesses,
} from '../../platform/process-tree.ts'

/** Of the time, the part that looking may take. */
const SHARE = 20

/** All processes of this machine, looked at once for all that want to know. */
export class ProcessTable {
  readonly pageBytes = pageBytes()
  #entries: readonly ProcessStat[] = []
  #marks = new Map<string, string>()
  #atMs = -Infinity
  #tookMs = 0

  /** As they are now, or were at most so long ago; longer where looking is slow. */
  entries(maxAgeMs: number): readonly ProcessStat[] {
    const now = performance.now()
    if (now - this.#atMs >= Math.max(maxAgeMs, this.#tookMs * SHARE)) {
      this.#entries = visibleProcesses()
      this.#tookMs = performance.now() - now
      this.#atMs = performance.now()
      const living = new Set(this.#entries.map(keyOf))
      for (const key of this.#marks.keys()) if (!living.has(key)) this.#marks.delete(key)
    }
    return this.#entries
  }

  /** As it is now, of one that was there; 0 where it is gone. */
  residentBytes({ pid, start }: ProcessStat): number {
    const now = parseStat(procText(pid, 'stat') ?? '')
    return now?.start === start ? now.residentPages * this.pageBytes : 0
  }

  /** Of `ERRAND_ATTEMPT_MARK=…` in its environment at its start; read once, where it can be. */
  mark(entry: ProcessStat): string {
    const key = keyOf(entry)
    const known = this.#marks.get(key)
    if (known !== undefined) return known
    const environment = environmentOf(entry.pid)
    const mark = /\0(ERRAND_ATTEMPT_MARK=[^\0]*)/.exec(environment ?? '')?.[1] ?? ''
    if (environment !== undefined) this.#marks.set(key, mark)
    return mark
  }
}

export const keyOf = ({ pid, start }: ProcessStat): string => `${pid} ${start}`
