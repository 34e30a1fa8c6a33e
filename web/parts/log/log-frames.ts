import type { RowOffsets } from './row-offsets.ts'

/** Number of rows rendered beyond each edge of the view. */
const BEYOND = 8

/** Rows at their places in the view of a log. */
export interface Frame {
  /** The lines in view, and some beyond its edges. */
  numbers: readonly number[]
  inView: readonly number[]
  /** Pixels from the top of the view to the first of `numbers`. */
  offset: number
}

/** Returns the frame of a log of `total` lines whose view begins `top` pixels below its first line. */
export function frameOf(offsets: RowOffsets, total: number, top: number, height: number): Frame {
  const numbers: number[] = []
  const inView: number[] = []
  const first = offsets.at(top, total)
  const bottom = offsets.at(top + height, total)
  for (let number = first, rest = BEYOND; rest > 0 && number > 1; rest--) {
    number--
    if (offsets.hiddenUntil(number) === undefined) numbers.unshift(number)
  }
  let beyond = 0
  for (let number = first; number <= total && beyond < BEYOND; number++) {
    const until = offsets.hiddenUntil(number)
    if (until !== undefined) number = until
    else {
      numbers.push(number)
      if (number <= bottom) inView.push(number)
    }
    if (number > bottom) beyond++
  }
  return { numbers, inView, offset: offsets.top(numbers[0] ?? 1) - top }
}

/**
 * Chooses which frame of a log is shown, so that the view is never without text: the last frame stays until the lines
 * of another one are here. The frame requested first is shown before later ones, since otherwise a view that keeps
 * moving would wait forever.
 */
export class Frames {
  #shown: Frame | undefined
  #next: Frame | undefined

  /** Takes the frame for the log's current position and returns the one to show. */
  choose(frame: Frame, isHere: (number: number) => boolean): Frame {
    const isLoaded = ({ inView }: Frame) => inView.filter(isHere).length * 2 >= inView.length
    if (this.#shown === undefined || isLoaded(frame)) {
      this.#shown = frame
      this.#next = undefined
    } else if (this.#next === undefined) this.#next = frame
    else if (isLoaded(this.#next)) {
      this.#shown = this.#next
      this.#next = frame
    }
    return this.#shown
  }

  /** The lines to fetch. */
  get requestedLines(): readonly number[] {
    return (this.#next ?? this.#shown)?.numbers ?? []
  }
}
