import type { StreamName } from '../../contract/attempt.ts'
import type { AttemptLines, Block, ReadBytes } from './attempt-lines.ts'
import { LineMatcher, type Match, type Pattern } from './line-matcher.ts'

/** Bytes and pieces that are looked at in one go. */
const BATCH_BYTES = 1024 * 1024
const BATCH_PIECES = 2_000

export interface Hit {
  number: number
  stream: StreamName
  timeMs: number
  /** Of the line without control codes at most 1,000 characters, from `textFrom` on. */
  text: string
  textFrom: number
  /** Where matches begin and end in that line; at most 20. */
  ranges: [number, number][]
}

export interface SearchOptions {
  pattern: Pattern
  /** The first line that is looked at; with `backward` the lines before it follow. */
  from: number
  backward: boolean
  most: number
  /** Of `performance.now`: then it stops after the batch at hand. */
  untilMs: number
  read: ReadBytes
  signal?: AbortSignal
}

/** Lines that match, in the order of the search; `next`: the line from which to go on, undefined at the end. */
export async function searchLines(
  lines: AttemptLines,
  { pattern, from, backward, most, untilMs, read, signal }: SearchOptions,
): Promise<{ hits: Hit[]; next?: number }> {
  await using matcher = new LineMatcher(pattern)
  const { index } = lines
  const total = index.total
  const hits: Hit[] = []
  if (total === 0 || from < 1 || (!backward && from > total)) return { hits }
  const look = async (blocks: readonly Block[], many: number) =>
    blocks.length === 0 ? [] : hitsOf(blocks, await matcher.match(batchOf(blocks), many, backward))
  const isOver = () => performance.now() > untilMs || signal?.aborted === true
  if (!backward) {
    for (let at = index.pieceOf(from); at < index.count; ) {
      const { blocks, next } = await lines.blocks(at, [BATCH_BYTES, BATCH_PIECES], read)
      // Lines before `from` may match as well; so many are not counted.
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
    const begin = batchBefore(lines, end)
    const { blocks } = await lines.blocks(begin, [Number.POSITIVE_INFINITY, end - begin], read)
    // Lines after `from` may match as well; so many are not counted.
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

/** The first piece of a batch that ends before `end`. */
function batchBefore({ index }: AttemptLines, end: number): number {
  let bytes = 0
  let begin = end
  while (begin > 0 && bytes < BATCH_BYTES && end - begin < BATCH_PIECES) {
    begin--
    const { lines, length } = index.piece(begin)
    // A line that goes on after its piece may be this long.
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
