import type { ServerResponse } from 'node:http'
import { ErrandError } from '../../../contract/errors.ts'
import { FairTurns } from '../../../platform/fair-turns.ts'

/** After the last words to a reader: time for them to arrive, if it does read. */
const LAST_WORDS_MS = 1_000

/**
 * A response written at the pace of its reader: nothing is kept for it beyond the socket's buffers. A reader that
 * takes not one byte for `slowMs` is cut off.
 */
export class PacedResponse {
  readonly #response: ServerResponse
  readonly #slowWords: string | undefined
  readonly #gone = new AbortController()
  #wake: (() => void) | undefined
  #ended = false

  /** Without words for a slow reader, a response that is cut short is broken off: the reader must not take it for whole. */
  constructor(response: ServerResponse, options: { slowMs: number; slowWords?: string }) {
    this.#response = response
    this.#slowWords = options.slowWords
    response.once('close', () => this.#leave())
    response.on('drain', () => this.#resume())
    response.on('error', () => response.destroy())
    // Node's socket timeout starts anew whenever the kernel has taken a part of what waits.
    response.setTimeout(options.slowMs, () => {
      if (this.#ended) response.destroy()
      else if (this.#wake === undefined) return
      else if (this.#slowWords === undefined) response.destroy()
      else this.finish(this.#slowWords)
    })
    // Its reader left before there was anything to write: no further event tells so.
    if (response.destroyed) this.#leave()
  }

  /** Aborted when nothing more can be written. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /**
   * Whether the answer waits for its reader: a keep-alive would wait too, and hide that the reader is gone.
   */
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

  /** The last words. A reader that does not take them soon is not waited for. */
  finish(words = ''): void {
    if (this.gone.aborted) return
    this.#leave()
    this.end(words)
    const late = setTimeout(() => this.#response.destroy(), LAST_WORDS_MS)
    this.#response.once('close', () => clearTimeout(late))
  }

  /** All is written: the reader gets the time it needs for what is on its way. */
  end(chunk = ''): void {
    if (this.#ended) return
    this.#ended = true
    this.#response.end(chunk)
  }

  /** The hub stops: what is ended may still arrive, and the connection is not kept. */
  close(): void {
    const { socket } = this.#response
    this.#response.once('finish', () => socket?.destroySoon())
    if (!this.#ended && this.#slowWords === undefined) this.destroy()
    else this.finish()
  }

  /** Breaks off: what was promised (a length) cannot be kept. */
  destroy(): void {
    this.#response.destroy()
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

/** Two at once: they share libuv's four threads with every file operation of the hub. */
const READS_AT_ONCE = 2

/** The streams that are open: the hub can end them when it stops, and no user has more than a user may. */
export class PacedResponses {
  readonly #open = new Map<PacedResponse, string>()
  readonly #limits: { slowReaderMs: number; readersPerUser: number }
  #closed = false
  /** Reads for the streams are made in turns, by user. */
  readonly turns = new FairTurns(READS_AT_ONCE)

  constructor(limits: { slowReaderMs: number; readersPerUser: number }) {
    this.#limits = limits
  }

  /** Throws `rate_limited` where the user has as many streams as a user may; to be asked before the answer begins. */
  admit(user: string): void {
    const { readersPerUser } = this.#limits
    let open = 0
    for (const each of this.#open.values()) if (each === user) open++
    if (open < readersPerUser) return
    throw new ErrandError(
      'rate_limited',
      `This user reads ${open} streams of events, logs or output already.`,
      {
        hint: 'Close some, or let the hub have more of them for each user: ERRAND_MAX_READERS.',
        details: { limit: readersPerUser },
      },
    )
  }

  open(response: ServerResponse, user: string, slowWords?: string): PacedResponse {
    const paced = new PacedResponse(response, { slowMs: this.#limits.slowReaderMs, slowWords })
    if (paced.gone.aborted) return paced
    this.#open.set(paced, user)
    response.once('close', () => this.#open.delete(paced))
    // What was asked for before the hub began to stop.
    if (this.#closed) paced.close()
    return paced
  }

  /** Before a reader costs anything: those of another user come in between. */
  async turn(user: string): Promise<void> {
    using _turn = await this.turns.take(user)
  }

  get size(): number {
    return this.#open.size
  }

  /** Ends those that are open, and each that is still opened. */
  close(): void {
    this.#closed = true
    for (const paced of this.#open.keys()) paced.close()
  }
}
