import type { Writable } from 'node:stream'
import { CLEAR_LINE, passingLine } from '../render/terminal-text.ts'

/** Milliseconds between two updates of what runs. */
const LOOK_MS = 1000

/** Provides texts to show while nothing happens; `nowMs` is the time of a steady clock. */
export interface Meanwhile {
  /** Returns lines that stay. */
  due(nowMs: number): string
  /** Returns a line without a line feed, which the next text replaces. */
  live(nowMs: number): string
}

/** Writes text at the reader's pace, so that a slow reader costs no memory. Reports when the reader has gone away. */
export class TextOut {
  readonly #stream: Writable
  #gone = false
  #onGone: (() => void) | undefined
  #live = ''

  constructor(stream: Writable) {
    this.#stream = stream
    // Mostly EPIPE: nobody reads any more (`errand run x.yaml | head`). After other errors nobody does either.
    stream.on('error', () => {
      this.#gone = true
      this.#onGone?.()
    })
  }

  /** Calls back once the reader has gone; text that is written after that is dropped. */
  whenGone(callback: () => void): void {
    this.#onGone = callback
    if (this.#gone) callback()
  }

  async write(text: string): Promise<void> {
    if (this.#gone || text === '') return
    const clear = this.#live === '' ? '' : CLEAR_LINE
    this.#live = ''
    if (this.#stream.write(clear + text)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off('drain', done).off('error', done).off('close', done)
        resolve()
      }
      this.#stream.on('drain', done).on('error', done).on('close', done)
    })
  }

  /** Writes a line to a terminal that the next text replaces. An empty text removes it. */
  live(text: string): void {
    if (this.#gone || text === this.#live || this.#stream.writableNeedDrain) return
    this.#stream.write(`${this.#live === '' ? '' : CLEAR_LINE}${text === '' ? '' : passingLine(text)}`)
    this.#live = text
  }

  /**
   * Shows what runs, until the returned function is called: in lines that are due, or on a terminal (`isLive`) in a
   * live line. The live line is hidden while `isPaused` says that somebody else writes there.
   */
  meanwhile(what: Meanwhile, { isLive, isPaused }: { isLive: boolean; isPaused(): boolean }): () => void {
    const look = (): void => {
      const nowMs = performance.now()
      if (isLive) this.live(isPaused() ? '' : what.live(nowMs))
      else void this.write(what.due(nowMs))
    }
    const timer = setInterval(look, LOOK_MS).unref()
    return () => {
      clearInterval(timer)
      this.live('')
    }
  }
}
