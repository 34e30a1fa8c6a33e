import type { LogPiece } from '../ports.ts'

type Piece = Pick<LogPiece, 'stream' | 'time' | 'bytes'>

/** The newest pieces of a stream: their time, how many have it, the first of them, and whether the last ended its line. */
interface Newest {
  time: string
  taken: number
  /** How many of that time come again. */
  again: number
  first: Buffer
  isWhole: boolean
}
const NONE: Readonly<Newest> = { time: '', taken: 0, again: 0, first: Buffer.alloc(0), isWhole: false }
const NEWLINE = 10

/** A clock that was set back by more than this is no measure of what came before. */
const SET_BACK_MS = 50

/**
 * Tells pieces that the engine has sent before: when it begins a new log file it sends a part of the old one again. Times
 * of a stream only grow but where the clock of this machine is set back.
 */
export class RepeatedPieces {
  readonly #newest: Record<LogPiece['stream'], Newest> = {
    stdout: { ...NONE },
    stderr: { ...NONE },
  }
  readonly #clockMs: () => number
  #offsetMs: number

  /** `clockMs`: time of day beside one that is never set. */
  constructor(clockMs = () => Date.now() - performance.now()) {
    this.#clockMs = clockMs
    this.#offsetMs = clockMs()
  }

  /** All up to the newest may come again. */
  readAgain(): void {
    for (const newest of Object.values(this.#newest)) newest.again = newest.taken
  }

  isRepeated({ stream, time, bytes }: Piece): boolean {
    const newest = this.#newest[stream]
    if (time < newest.time && !this.#isSetBack()) {
      newest.again = newest.taken
      return true
    }
    if (time !== newest.time) {
      this.#newest[stream] = { time, taken: 1, again: 0, first: bytes, isWhole: bytes.at(-1) === NEWLINE }
      return false
    }
    // The pieces of one line have one time, and the next line has its own: the newest line alone was sent again.
    if (newest.again === 0 && newest.isWhole && bytes.equals(newest.first)) newest.again = newest.taken
    if (newest.again > 0) {
      newest.again--
      return true
    }
    newest.taken++
    newest.isWhole = bytes.at(-1) === NEWLINE
    return false
  }

  #isSetBack(): boolean {
    const offsetMs = this.#clockMs()
    const isSetBack = offsetMs < this.#offsetMs - SET_BACK_MS
    this.#offsetMs = offsetMs
    if (isSetBack) for (const newest of Object.values(this.#newest)) newest.time = ''
    return isSetBack
  }
}
