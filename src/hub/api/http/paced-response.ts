import type { ServerResponse } from 'node:http'
import { ErrandError } from '../../../contract/errors.ts'
import { FairSemaphore } from '../../../platform/fair-semaphore.ts'

/** Milliseconds that the last words have to arrive, if the reader still reads. */
const LAST_WORDS_MS = 1_000

/**
 * Writes a response at the pace of its reader. It buffers nothing beyond the socket's buffers. A reader that takes no
 * byte for `slowMs` is cut off.
 */
export class PacedResponse {
  readonly #response: ServerResponse
  readonly #slowWords: string | undefined
  readonly #gone = new AbortController()
  #wake: (() => void) | undefined
  #ended = false

  /**
   * Without `slowWords`, cutting a response short breaks the connection, so that the reader does not take it as
   * complete.
   */
  constructor(response: ServerResponse, options: { slowMs: number; slowWords?: string }) {
    this.#response = response
    this.#slowWords = options.slowWords
    response.once('close', () => this.#leave())
    response.on('drain', () => this.#resume())
    response.on('error', () => response.destroy())
    // Node's socket timeout restarts whenever the kernel has taken a part of what waits.
    response.setTimeout(options.slowMs, () => {
      if (this.#ended) response.destroy()
      else if (this.#wake === undefined) return
      else if (this.#slowWords === undefined) response.destroy()
      else this.finish(this.#slowWords)
    })
    // The reader left before there was anything to write, and no later event would say so.
    if (response.destroyed) this.#leave()
  }

  /** Aborted when nothing more can be written. */
  get gone(): AbortSignal {
    return this.#gone.signal
  }

  /** True while the answer waits for its reader. A keep-alive would wait too, and hide that the reader is gone. */
  get waiting(): boolean {
    return this.#wake !== undefined
  }

  /** Writes a chunk. Returns a promise only if the caller must wait for the reader. A no-op after `gone`. */
  write(chunk: string | Uint8Array): Promise<void> | undefined {
    if (this.gone.aborted || this.#response.write(chunk)) return undefined
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** Writes the last words and ends. It does not wait long for the reader to take them. */
  finish(words = ''): void {
    if (this.gone.aborted) return
    this.#leave()
    this.end(words)
    const late = setTimeout(() => this.#response.destroy(), LAST_WORDS_MS)
    this.#response.once('close', () => clearTimeout(late))
  }

  /** Ends a complete response. The reader gets the time that it needs for what is on its way. */
  end(chunk = ''): void {
    if (this.#ended) return
    this.#ended = true
    this.#response.end(chunk)
  }

  /** Ends because the hub stops: what was written may still arrive, and the connection closes. */
  close(): void {
    const { socket } = this.#response
    this.#response.once('finish', () => socket?.destroySoon())
    if (!this.#ended && this.#slowWords === undefined) this.destroy()
    else this.finish()
  }

  /** Breaks the connection, because a promise such as the length cannot be kept. */
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

/** Limits concurrent reads to two: they share libuv's four threads with all file operations of the hub. */
const READS_AT_ONCE = 2

/** Tracks the open streams, so that the hub can end them when it stops and no user has too many. */
export class PacedResponses {
  readonly #open = new Map<PacedResponse, string>()
  readonly #limits: { slowReaderMs: number; readersPerUser: number }
  #closed = false
  /** Makes users take turns in reading for their streams. */
  readonly semaphore = new FairSemaphore(READS_AT_ONCE)

  constructor(limits: { slowReaderMs: number; readersPerUser: number }) {
    this.#limits = limits
  }

  /** Throws `rate_limited` if the user has as many streams as allowed. Call it before the answer begins. */
  admit(user: string): void {
    const { readersPerUser } = this.#limits
    let open = 0
    for (const each of this.#open.values()) if (each === user) open++
    if (open < readersPerUser) return
    throw new ErrandError(
      'rate_limited',
      `This user already has ${open} open streams of events, logs or output.`,
      {
        hint: 'Close some, or raise the limit for each user with ERRAND_MAX_READERS on the hub.',
        details: { limit: readersPerUser },
      },
    )
  }

  open(response: ServerResponse, user: string, slowWords?: string): PacedResponse {
    const paced = new PacedResponse(response, { slowMs: this.#limits.slowReaderMs, slowWords })
    if (paced.gone.aborted) return paced
    this.#open.set(paced, user)
    response.once('close', () => this.#open.delete(paced))
    // It was requested before the hub began to stop.
    if (this.#closed) paced.close()
    return paced
  }

  /** Waits until other users had their turn; called before a reader costs anything. */
  async turn(user: string): Promise<void> {
    using _turn = await this.semaphore.acquire(user)
  }

  get size(): number {
    return this.#open.size
  }

  /** Ends the open streams, and each one that is still opened later. */
  close(): void {
    this.#closed = true
    for (const paced of this.#open.keys()) paced.close()
  }
}
