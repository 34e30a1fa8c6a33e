import { useEffect, useMemo, useSyncExternalStore } from 'react'
import type { Stretches } from '../../../src/contract/run-api.ts'
import { ask } from '../../data/api.ts'
import { linesPath } from './log-lines.ts'
import { restOf, type Stretch } from './stretches.ts'

export type Stream = 'stdout' | 'stderr'

/** Knows which lines of one log are on stderr, as far as they have been fetched; grows with the log. */
class StderrLines {
  readonly stretches: Stretch[] = []
  /** Number of lines looked at. */
  total = 0
  version = 0
  #requested = 0
  #busy = false
  readonly #path: string
  readonly #stop = new AbortController()
  readonly #watchers = new Set<() => void>()

  constructor(run: string, attempt: number) {
    this.#path = `${linesPath(run, attempt)}/stretches`
  }
  async grow(total: number): Promise<void> {
    this.#requested = total
    if (this.#busy) return
    this.#busy = true
    try {
      // More lines may be wanted meanwhile. A hub that knows no more lines is asked again when the next one comes.
      for (let before = -1; this.total < this.#requested && this.total > before; ) {
        before = this.total
        const query = { stream: 'stderr', from: before + 1, limit: 1000 }
        const found: Stretches = await ask('GET', this.#path, { query, signal: this.#stop.signal })
        for (const [first, last] of found.stretches) {
          const latest = this.stretches.at(-1)
          if (latest !== undefined && latest[1] + 1 === first) latest[1] = last
          else this.stretches.push([first, last])
        }
        this.total = found.next === undefined ? found.total : found.next - 1
        this.version++
        for (const watcher of this.#watchers) watcher()
      }
    } catch {
      // The log itself reports that the hub is away, and growing triggers another request.
    } finally {
      this.#busy = false
    }
  }
  watch = (call: () => void): (() => void) => {
    this.#watchers.add(call)
    return () => this.#watchers.delete(call)
  }
  stop(): void {
    this.#stop.abort()
  }
}

/**
 * Returns the stretches of lines outside the chosen stream. New lines whose stream is not known yet count as outside
 * it.
 */
export function useOtherStream(
  run: string,
  attempt: number,
  stream: Stream | undefined,
  total: number,
): readonly Stretch[] {
  const known = useMemo(
    () => (stream === undefined ? undefined : new StderrLines(run, attempt)),
    [run, attempt, stream],
  )
  useEffect(() => () => known?.stop(), [known])
  useEffect(() => void known?.grow(total), [known, total])
  const version = useSyncExternalStore(known?.watch ?? (() => () => {}), () => known?.version ?? 0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: the stretches grow within
  return useMemo(() => {
    // Until the first answer, the log and its scroll position stay unchanged.
    if (known === undefined || known.total === 0) return []
    if (stream === 'stderr') return restOf(known.stretches, total)
    const unknown: Stretch[] = known.total < total ? [[known.total + 1, total]] : []
    return [...known.stretches, ...unknown]
  }, [known, version, stream, total])
}
