/** Calls, one at a time: what is called for by a call is done after it has returned. */
export class SerialCalls {
  readonly #calls: (() => void)[] = []
  readonly #onDone: () => void
  #working = false

  /** `onDone`: none is left, until it calls for more. */
  constructor(onDone: () => void) {
    this.#onDone = onDone
  }

  add(call: () => void): void {
    this.#calls.push(call)
    if (this.#working) return
    this.#working = true
    try {
      for (let next = this.#calls.shift(); next; next = this.#calls.shift()) {
        next()
        if (this.#calls.length === 0) this.#onDone()
      }
    } finally {
      this.#working = false
    }
  }
}
