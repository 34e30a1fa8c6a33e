import type { LogPiece } from '../ports.ts'

const HEADER_BYTES = 8
const SPACE = 0x20
const streams: Readonly<Record<number, LogPiece['stream']>> = { 1: 'stdout', 2: 'stderr' }

/**
 * A container's log as engines send it: frames of a kind (1 byte), 3 bytes of nothing, a length (4 bytes) and as many
 * bytes; each frame is one piece, with its time and a space before it.
 */
export async function* logFrames(chunks: AsyncIterable<Buffer>): AsyncGenerator<LogPiece> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    while (rest.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + rest.readUInt32BE(at + 4)
      if (rest.length < end) break
      yield logPiece(rest[at]!, rest.subarray(at + HEADER_BYTES, end))
      at = end
    }
    rest = rest.subarray(at)
  }
}

function logPiece(kind: number, content: Buffer): LogPiece {
  const stream = streams[kind]
  const space = content.indexOf(SPACE)
  if (stream === undefined || space < 0)
    throw new Error(`a log's frame of kind ${kind} with no time cannot be read`)
  return { stream, time: content.toString('latin1', 0, space), bytes: content.subarray(space + 1) }
}
