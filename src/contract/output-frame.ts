import type { StreamName } from './attempt.ts'
import { ErrandError } from './errors.ts'

/**
 * A binary frame of output: 1 byte kind (1), 1 byte stream, 4 bytes epoch, 8 bytes offset, 2 bytes id length,
 * the attempt's id in UTF-8, then the bytes. Numbers are big-endian.
 */
export interface OutputFrame {
  attempt_id: string
  epoch: number
  stream: StreamName
  offset: number
  bytes: Buffer
}

const KIND = 1
const HEAD = 16
const streams: readonly StreamName[] = ['stdout', 'stderr']

export function encodeOutputFrame(frame: OutputFrame): Buffer {
  const id = Buffer.from(frame.attempt_id)
  const out = Buffer.allocUnsafe(HEAD + id.length + frame.bytes.length)
  out.writeUInt8(KIND, 0)
  out.writeUInt8(streams.indexOf(frame.stream), 1)
  out.writeUInt32BE(frame.epoch, 2)
  out.writeBigUInt64BE(BigInt(frame.offset), 6)
  out.writeUInt16BE(id.length, 14)
  id.copy(out, HEAD)
  frame.bytes.copy(out, HEAD + id.length)
  return out
}

/** Whether it is of this kind; of another one only a newer Errand knows what it is. */
export const isOutputFrame = (data: Buffer): boolean => data.length === 0 || data.readUInt8(0) === KIND

/** Throws `bad_request` for anything that is no such frame. */
export function decodeOutputFrame(data: Buffer): OutputFrame {
  const stream = data.length >= HEAD ? streams[data.readUInt8(1)] : undefined
  const idLength = data.length >= HEAD ? data.readUInt16BE(14) : 0
  if (stream === undefined || data.readUInt8(0) !== KIND || data.length < HEAD + idLength)
    throw new ErrandError('bad_request', `A binary frame of ${data.length} bytes is no output frame.`)
  return {
    stream,
    epoch: data.readUInt32BE(2),
    offset: Number(data.readBigUInt64BE(6)),
    attempt_id: data.toString('utf8', HEAD, HEAD + idLength),
    bytes: data.subarray(HEAD + idLength),
  }
}
