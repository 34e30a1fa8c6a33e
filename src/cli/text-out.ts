import type { Writable } from 'node:stream'

/** Writes text at the reader's pace, so that a slow one costs no memory; tells when it has gone away. */
export class TextOut {
  readonly #stream: Writable
  #gone = false
  #onGone: (() => void) | undefined

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
    if (this.#stream.write(text)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off('drain', done).off('error', done).off('close', done)
        resolve()
      }
      this.#stream.on('drain', done).on('error', done).on('close', done)
    })
  }
}
