import { folderSize } from './folder-size.ts'
import type { Breach } from './hold.ts'
import { diskFull } from './limit-text.ts'

const FIRST_MS = 500
const LAST_MS = 5_000
/** Of the time, the part that counting may take. */
const SHARE = 20

export interface DiskWatchOptions {
  folder: string
  limitBytes: number
  /** Only what comes on top of what is there at the start counts: for folders that are not the run's own. */
  growth: boolean
}

/** Counts a workspace now and then, rarer the longer it takes. */
export class DiskWatch {
  readonly #options: DiskWatchOptions
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #before: number | undefined
  #intervalMs = FIRST_MS
  breach: Breach | undefined

  constructor(options: DiskWatchOptions) {
    this.#options = options
    if (!options.growth) this.#before = 0
  }

  /** Counts what is there before it begins; otherwise the first look counts that. */
  async prepare(): Promise<void> {
    if (this.#before === undefined) await this.#look()
  }

  start(): void {
    if (this.#timer === undefined && !this.#stop.signal.aborted)
      this.#again(this.#before === undefined ? 0 : FIRST_MS)
  }

  /** Counts once more: what ended quickly is held to its limit too. */
  async last(): Promise<Breach | undefined> {
    clearTimeout(this.#timer)
    if (this.breach === undefined && this.#before !== undefined) await this.#look()
    this.stop()
    return this.breach
  }

  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
  }

  #again(inMs: number): void {
    this.#timer = setTimeout(() => {
      const began = performance.now()
      void this.#look().then(() => {
        this.#intervalMs = Math.min(this.#intervalMs * 1.5, LAST_MS)
        const tookMs = performance.now() - began
        if (!this.#stop.signal.aborted && this.breach === undefined)
          this.#again(Math.max(this.#intervalMs, tookMs * SHARE))
      })
    }, inMs).unref()
  }

  async #look(): Promise<void> {
    const { folder, limitBytes } = this.#options
    const enoughBytes = this.#before === undefined ? Infinity : this.#before + limitBytes
    const bytes = await folderSize(folder, { signal: this.#stop.signal, enoughBytes })
    if (this.#stop.signal.aborted) return
    if (this.#before === undefined) this.#before = bytes
    else if (bytes > enoughBytes) this.breach = diskFull(bytes - this.#before, limitBytes)
  }
}
