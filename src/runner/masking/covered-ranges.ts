export interface Range {
  start: number
  /** Exclusive. */
  end: number
}

/** What matches cover together; ranges that overlap or touch become one. */
export class CoveredRanges {
  /** Ascending, with something between each two. */
  readonly list: Range[] = []

  /** Ends ascend from call to call; starts need not. */
  add(start: number, end: number): void {
    let first = start
    let last = end
    for (
      let before = this.list.at(-1);
      before !== undefined && before.end >= first;
      before = this.list.at(-1)
    ) {
      first = Math.min(first, before.start)
      last = Math.max(last, before.end)
      this.list.pop()
    }
    this.list.push({ start: first, end: last })
  }
}
