import assert from 'node:assert/strict'
import test from 'node:test'
import type { LogPiece } from './docker-engine.ts'
import { logFrames, RepeatedPieces } from './docker-log.ts'

const TIME = '2026-01-31T10:20:30.123456789Z'

test('frames are the same however their bytes are cut', async () => {
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

test('an invalid frame is an error, not a wrong line', async () => {
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

/**
 * Returns the new ones among pieces such as `o10` or `o10x.`: a stream, a time, bytes and, for the end of a line, a
 * dot.
 */
function newOnes(pieces: string, repeated = new RepeatedPieces()): string {
  const isNew = (piece: string): boolean => {
    const [, stream, time, text] = /^([oe])(\d+)(.*)$/.exec(piece)!
    const bytes = Buffer.from(text!.replace('.', '\n'))
    return !repeated.isRepeated({ stream: stream === 'o' ? 'stdout' : 'stderr', time: time!, bytes })
  }
  return pieces.split(' ').filter(isNew).join(' ')
}

test('repeated pieces of a stream are distinguished from new ones, even if several have the same time', () => {
  assert.equal(newOnes('o1 o2 o2 o3 o2 o2 o3 o4'), 'o1 o2 o2 o3 o4')
  assert.equal(newOnes('o1 o2 o3 o3 o2 o3 o3 o3 o4'), 'o1 o2 o3 o3 o3 o4')
  assert.equal(newOnes('o1 o3 o3 o1 o3 o1 o3 o3 o4'), 'o1 o3 o3 o4')
})

test('a repeated newest line is distinguished from pieces that continue it', () => {
  assert.equal(newOnes('o1a. o1a. o2b. o2b. o3b.'), 'o1a. o2b. o3b.')
  assert.equal(newOnes('o1a o1a o1c. o1a o1a o1c. o2a.'), 'o1a o1a o1c. o2a.')
  assert.equal(newOnes('o1a o1a o1a. o2a'), 'o1a o1a o1a. o2a')
  // A clock may be too coarse to distinguish two lines.
  assert.equal(newOnes('o1a. o1b. o2a.'), 'o1a. o1b. o2a.')
})

test('each stream has its own time, and one may be a little behind the other', () => {
  assert.equal(newOnes('o1 o5 e4 e6 o7 e4 e6 o5 o7 o8'), 'o1 o5 e4 e6 o7 o8')
})

test('pieces that are read again from the newest time on are recognized', () => {
  const repeated = new RepeatedPieces()
  newOnes('o1 o2 e2 o3 o3', repeated)
  repeated.readAgain()
  assert.equal(newOnes('o3 o3 o3 e4', repeated), 'o3 e4')
})

test('after the clock is set back the earlier times count as new', () => {
  let clockMs = 10_000
  const repeated = new RepeatedPieces(() => clockMs)
  assert.equal(newOnes('o5 e5 o6 o5', repeated), 'o5 e5 o6')
  clockMs -= 3_000
  assert.equal(newOnes('o3 e3 o4 o3', repeated), 'o3 e3 o4')
})
