import type { ServerResponse } from 'node:http'

/** Why a reader got no more. */
export type StreamEnding = 'slow' | 'closed'

/** After the last words of a cut-off reader: time for them to arrive, if it does read. */
const LAST_WORDS_MS = 1_000

/**
 * A response written at the pace of its reader: nothing is kept for it beyond the socket's buffers. A reader that
 * takes not one byte for `slowMs` is cut off.
 */
export class PacedResponse {
  readonly #response: ServerResponse
  readonly #gone = new AbortController()
  #wake: (() => void) | undefined
  #last: NodeJS.Timeout | undefined
  #ended = false

  constructor(
    response: ServerResponse,
    options: { slowMs: number; lastWords: (why: StreamEnding) => string },
  ) {
    this.#response = response
    response.once('close', () => {
      clearTimeout(this.#last)
      this.#leave()
    })
    response.on('drain', () => this.#resume())
    response.on('error', () => response.destroy())
    // Node's socket timeout starts anew whenever the kernel has taken a part of what waits.
    response.setTimeout(options.slowMs, () => {
      if (this.#ended) response.destroy()
      else if (this.#wake !== undefined) this.finish(options.lastWords('slow'))
    })
    this.close = () => this.finish(options.lastWords('closed'))
  }

  /** The hub stops. */
  readonly close: () => void

  /** Aborted when nothing more can be written. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** It waits for its reader: a keep-alive would only wait too, and hide that the reader is gone. */
  get waiting(): boolean {
    return this.#wake !== undefined
  }

  /** Answers a promise only where the reader must be waited for. After `gone` it does nothing. */
  write(chunk: string | Uint8Array): Promise<void> | undefined {
    if (this.gone.aborted || this.#response.write(chunk)) return undefined
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** The last bytes. A reader that does not take them is not waited for once the hub or its patience has ended. */
  finish(chunk = ''): void {
    if (this.gone.aborted) return
    this.#leave()
    this.#finishWith(chunk)
    this.#last = setTimeout(() => this.#response.destroy(), LAST_WORDS_MS)
    this.#last.unref()
  }

  /** All is written: the reader gets the time it needs for what is on its way. */
  end(chunk = ''): void {
    if (!this.gone.aborted) this.#finishWith(chunk)
  }

  /** Breaks off: what was promised (a length) cannot be kept. */
  destroy(): void {
    this.#response.destroy()
  }

  #finishWith(chunk: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#response.end(chunk)
  }

  #leave(): void {
    this.#gone.abort()
    this.#resume()
  }

  #resume(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

/** The streams that are open, so that the hub can end them when it stops. */
export class PacedResponses {
  readonly #open = new Set<PacedResponse>()
  readonly #slowMs: number

  constructor(slowMs: number) {
    this.#slowMs = slowMs
  }

  open(response: ServerResponse, lastWords: (why: StreamEnding) => string = () => ''): PacedResponse {
    const paced = new PacedResponse(response, { slowMs: this.#slowMs, lastWords })
    this.#open.add(paced)
    response.once('close', () => this.#open.delete(paced))
    return paced
  }

  get size(): number {
    return this.#open.size
  }

  close(): void {
    for (const paced of this.#open) paced.close()
  }
}
