import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogPiece } from '../ports.ts'
import { logFrames } from './log-frames.ts'

const TIME = '2026-01-31T10:20:30.123456789Z'

test('frames are the same however their bytes come cut', async () => {
  const whole = Buffer.concat([frame(1, `${TIME} one\n`), frame(2, `${TIME} `), frame(1, `${TIME} ä b\n`)])
  for (let size = 1; size <= whole.length; size++) {
    const pieces: LogPiece[] = []
    for await (const piece of logFrames(cut(whole, size))) pieces.push(piece)
    assert.deepEqual(
      pieces.map(({ stream, time, bytes }) => [stream, time, bytes.toString()]),
      [
        ['stdout', TIME, 'one\n'],
        ['stderr', TIME, ''],
        ['stdout', TIME, 'ä b\n'],
      ],
    )
  }
})

test('what is no frame is an error, not a wrong line', async () => {
  for (const bytes of [frame(9, `${TIME} x`), frame(1, 'notime')])
    await assert.rejects(logFrames(cut(bytes, bytes.length)).next(), /cannot be read/)
})

function frame(kind: number, text: string): Buffer {
  const header = Buffer.alloc(8)
  header[0] = kind
  header.writeUInt32BE(Buffer.byteLength(text), 4)
  return Buffer.concat([header, Buffer.from(text)])
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
