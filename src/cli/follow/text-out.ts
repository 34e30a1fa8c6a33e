import type { Writable } from 'node:stream'
import { CLEAR_LINE, passingLine } from '../render/terminal-text.ts'

/** How often is looked what runs. */
const LOOK_MS = 1000

/** Texts to show while nothing happens; `nowMs` is of a clock that goes steadily. */
export interface Meanwhile {
  /** Lines that stay. */
  due(nowMs: number): string
  /** A line without its end, which the next text takes away. */
  live(nowMs: number): string
}

/** Writes text at the reader's pace, so that a slow one costs no memory; tells when it has gone away. */
export class TextOut {
  readonly #stream: Writable
  #gone = false
  #onGone: (() => void) | undefined
  #live = ''

  constructor(stream: Writable) {
    this.#stream = stream
    // EPIPE, mostly: nobody reads any more (`errand run x.yaml | head`). Anything else reads as little.
    stream.on('error', () => {
      this.#gone = true
      this.#onGone?.()
    })
  }

  /** Called once the reader has gone; what is written from then on is dropped. */
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

  /** On a terminal: a line that is gone with the next text, or with an empty one. */
  live(text: string): void {
    if (this.#gone || text === this.#live || this.#stream.writableNeedDrain) return
    this.#stream.write(`${this.#live === '' ? '' : CLEAR_LINE}${text === '' ? '' : passingLine(text)}`)
    this.#live = text
  }

  /**
   * Tells what runs until the function is called that it answers: in lines as they are due, or on a terminal (`isLive`) in a
   * live one, but while it is `isPaused`, as somebody else writes there.
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
