import type { FastifyReply } from 'fastify'
import { ErrandError } from '../../../contract/errors.ts'
import type { Log } from '../../../platform/log.ts'
import type { PacedResponses } from './paced-response.ts'

export interface RangedContent {
  /** Id of the user who reads. */
  user: string
  length: number
  /** The `Range` header. */
  range: string | undefined
  onlyHead: boolean
  headers: Record<string, string>
  /** Name of the content in messages, such as `The output`. */
  name: string
  /** Returns the bytes from start (inclusive) to end (exclusive). */
  read(start: number, end: number): AsyncIterable<Uint8Array> | Promise<AsyncIterable<Uint8Array>>
}

/** Sends bytes of a known length, either all or the requested range, at the pace of their reader. */
export async function sendRange(
  reply: FastifyReply,
  { user, length, range: header, onlyHead, headers, name, read }: RangedContent,
  { streams, log }: { streams: PacedResponses; log: Log },
): Promise<void> {
  const range = onlyHead ? undefined : readRange(header, length)
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${length}`)
    throw new ErrandError(
      'range_not_satisfiable',
      `${name} has ${length} bytes; "${header}" is outside them.`,
      {
        hint: 'Try again when there is more content.',
        details: { length },
      },
    )
  }
  const { start, end } = range ?? { start: 0, end: length }
  if (!onlyHead) streams.admit(user)
  // Opened before the head is sent, so that the status can report content that cannot be read.
  const pieces = onlyHead ? undefined : await read(start, end)
  reply.hijack()
  reply.raw.writeHead(range === undefined ? 200 : 206, {
    ...(reply.getHeaders() as Record<string, string>),
    ...headers,
    'content-length': end - start,
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${length}` }),
  })
  if (pieces === undefined) return void reply.raw.end()
  const paced = streams.open(reply.raw, user)
  try {
    let at = start
    for await (const piece of pieces) {
      at += piece.length
      await paced.write(piece)
      if (paced.gone.aborted) return
    }
    if (at !== end) throw new Error(`it ended at byte ${at} instead of byte ${end}`)
    paced.end()
  } catch (error) {
    log(`${name} could not be sent completely: ${(error as Error).message}`, { level: 'error' })
    paced.destroy()
  }
}

/**
 * Returns the one range of a `Range` header as start (inclusive) and end (exclusive). Returns undefined if the header
 * has no byte range or several: RFC 9110 allows answering those with the whole content.
 */
function readRange(
  header: string | undefined,
  length: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const [whole, first, last] = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? '') ?? []
  if (whole === undefined || (first === '' && last === '')) return undefined
  if (first === '') {
    const suffix = Number(last)
    return suffix === 0 || length === 0
      ? 'unsatisfiable'
      : { start: Math.max(0, length - suffix), end: length }
  }
  const start = Number(first)
  const end = last === '' ? length : Math.min(length, Number(last) + 1)
  if (last !== '' && Number(last) < start) return undefined
  return start >= length ? 'unsatisfiable' : { start, end }
}
