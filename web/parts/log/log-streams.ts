import { useEffect, useMemo, useSyncExternalStore } from 'react'
import type { Stretches } from '../../../src/contract/run-api.ts'
import { ask } from '../../data/api.ts'
import { linesPath } from './log-lines.ts'
import { restOf, type Stretch } from './stretches.ts'

export type Stream = 'stdout' | 'stderr'

/** Which lines of one log are on stderr, as far as they are known; grows with the log. */
class StderrLines {
  readonly stretches: Stretch[] = []
  /** So many lines are looked at. */
  total = 0
  version = 0
  #wanted = 0
  #busy = false
  readonly #path: string
  readonly #stop = new AbortController()
  readonly #watchers = new Set<() => void>()

  constructor(run: string, attempt: number) {
    this.#path = `${linesPath(run, attempt)}/stretches`
  }
  async grow(total: number): Promise<void> {
    this.#wanted = total
    if (this.#busy) return
    this.#busy = true
    try {
      // More may be wanted meanwhile; a hub that knows no more is asked again with the next line.
      for (let before = -1; this.total < this.#wanted && this.total > before; ) {
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
      // The log says itself that its hub is away, and asks again as it grows.
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

/** The stretches of lines that are not of the one stream that is looked at; of new lines those that are not known yet count as such. */
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
    // Until the first answer the log stays as it was, and so does its place.
    if (known === undefined || known.total === 0) return []
    if (stream === 'stderr') return restOf(known.stretches, total)
    const unknown: Stretch[] = known.total < total ? [[known.total + 1, total]] : []
    return [...known.stretches, ...unknown]
  }, [known, version, stream, total])
}
