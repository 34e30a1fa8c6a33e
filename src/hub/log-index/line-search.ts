import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptLog, Block, ReadBytes } from './attempt-log.ts'
import { LineMatcher, type Match, type Pattern } from './line-matcher.ts'

/** Limits the bytes and pieces of one batch. */
const BATCH_BYTES = 1024 * 1024
const BATCH_PIECES = 2_000

export interface Hit {
  number: number
  stream: StreamName
  timeMs: number
  /** Up to 1,000 characters of the line without control codes, starting at `textFrom`. */
  text: string
  textFrom: number
  /** Start and end of the matches in that line; at most 20. */
  ranges: [number, number][]
}

export interface SearchOptions {
  pattern: Pattern
  /** First line to search. With `backward`, the search continues with the lines before it. */
  from: number
  backward: boolean
  most: number
  /** Time of `performance.now` at which the search stops, after the current batch. */
  untilMs: number
  read: ReadBytes
  signal?: AbortSignal
}

/** Returns matching lines in the order of the search. `next` is the line to continue from, undefined at the end. */
export async function searchLines(
  log: AttemptLog,
  { pattern, from, backward, most, untilMs, read, signal }: SearchOptions,
): Promise<{ hits: Hit[]; next?: number }> {
  await using matcher = new LineMatcher(pattern)
  const { index } = log
  const total = index.total
  const hits: Hit[] = []
  if (total === 0 || from < 1 || (!backward && from > total)) return { hits }
  const look = async (blocks: readonly Block[], many: number) =>
    blocks.length === 0 ? [] : hitsOf(blocks, await matcher.match(batchOf(blocks), many, backward))
  const isOver = () => performance.now() > untilMs || signal?.aborted === true
  if (!backward) {
    for (let at = index.pieceOf(from); at < index.count; ) {
      const { blocks, next } = await log.blocks(at, [BATCH_BYTES, BATCH_PIECES], read)
      // Lines before `from` may match too; allow for that many.
      const skipped = Math.max(0, from - (blocks[0]?.number ?? from))
      for (const hit of await look(blocks, most - hits.length + skipped)) {
        if (hit.number < from) continue
        hits.push(hit)
        if (hits.length === most) return hit.number < total ? { hits, next: hit.number + 1 } : { hits }
      }
      at = next
      if (at < index.count && isOver()) return { hits, next: index.piece(at).before + 1 }
    }
    return { hits }
  }
  for (let end = index.pieceOf(Math.min(from, total)) + 1; end > 0; ) {
    const begin = batchBefore(log, end)
    const { blocks } = await log.blocks(begin, [Number.POSITIVE_INFINITY, end - begin], read)
    // Lines after `from` may match too; allow for that many.
    const after = index.piece(end - 1)
    const skipped = Math.max(0, after.before + after.lines - from)
    for (const hit of await look(blocks, most - hits.length + skipped)) {
      if (hit.number > from) continue
      hits.push(hit)
      if (hits.length === most) return hit.number > 1 ? { hits, next: hit.number - 1 } : { hits }
    }
    end = begin
    const { before } = index.piece(end)
    if (end > 0 && before > 0 && isOver()) return { hits, next: before }
  }
  return { hits }
}

/** Returns the first piece of a batch that ends before `end`. */
function batchBefore({ index }: AttemptLog, end: number): number {
  let bytes = 0
  let begin = end
  while (begin > 0 && bytes < BATCH_BYTES && end - begin < BATCH_PIECES) {
    begin--
    const { lines, length } = index.piece(begin)
    // A line that continues after its piece may be this long.
    if (lines > 0) bytes += Math.max(length, index.endOfLastLine(begin).end - index.piece(begin).offset)
  }
  return begin
}

function batchOf(blocks: readonly Block[]) {
  const bytes = Buffer.concat(blocks.map((block) => block.bytes))
  let at = 0
  const parts = blocks.map(({ bytes: { length } }) => {
    at += length
    return [at - length, at] as const
  })
  return { bytes, parts }
}

function hitsOf(blocks: readonly Block[], matches: readonly Match[]): Hit[] {
  return matches.map(({ part, line, ...match }) => {
    const { number, stream, timeMs } = blocks[part]!
    return { ...match, stream, timeMs, number: number + line }
  })
}
