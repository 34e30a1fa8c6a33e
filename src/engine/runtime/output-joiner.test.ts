import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { StreamName } from '../../contract/attempt.ts'
import { OUTPUT_EVENT_BYTES, OutputJoiner } from './output-joiner.ts'

test('however text is split, resent and recorded, its ranges join without a gap and cut no character', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => Buffer.from(value))
  fc.assert(
    fc.property(text, fc.array(fc.tuple(fc.nat(9), fc.nat(4), fc.boolean())), (bytes, moves) => {
      const joiner = new OutputJoiner()
      const ranges: { offset: number; length: number }[] = []
      let stored = 0
      for (const [length, back, take] of moves) {
        const from = Math.max(0, stored - back)
        const chunk = bytes.subarray(from, stored + length)
        stored = Math.max(stored, from + chunk.length)
        joiner.add('stdout', chunk, stored)
        if (take) ranges.push(...joiner.take(joiner.due(false)))
      }
      for (const { offset, length } of ranges)
        assert.equal(Buffer.from(bytes.subarray(offset, offset + length).toString()).length, length)
      ranges.push(...joiner.take(joiner.due(true)))
      let reported = 0
      for (const { offset, length } of ranges) {
        assert.equal(offset, reported)
        reported += length
      }
      assert.equal(reported, stored)
    }),
  )
})

test('bytes that are not text are not held back', () => {
  const joiner = new OutputJoiner()
  joiner.add('stdout', Buffer.from([0x80, 0x80, 0x80, 0x80]), 4)
  assert.deepEqual(joiner.take(joiner.due(false)), [{ stream: 'stdout', offset: 0, length: 4 }])
})

test('a large amount is due at once, and recorded in pieces', () => {
  const joiner = new OutputJoiner()
  assert.equal(joiner.add('stdout', Buffer.alloc(10), 10), false)
  assert.equal(joiner.add('stdout', Buffer.alloc(2 * OUTPUT_EVENT_BYTES), 10 + 2 * OUTPUT_EVENT_BYTES), true)
  assert.deepEqual(
    joiner.take(joiner.due(false)).map(({ length }) => length),
    [OUTPUT_EVENT_BYTES, OUTPUT_EVENT_BYTES, 10],
  )
})

test('both streams are recorded in order of arrival, or close to it if there are many pieces', () => {
  const piece = fc.tuple(
    fc.constantFrom<StreamName>('stdout', 'stderr'),
    fc.integer({ min: 1, max: 9_000 }),
    fc.boolean(),
  )
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 60 }), fc.nat(9), (pieces, every) => {
      const joiner = new OutputJoiner()
      const stored = { stdout: 0, stderr: 0 }
      const places: [number, number][] = []
      const ranges: ReturnType<OutputJoiner['take']> = []
      for (const [count, [stream, bytes]] of pieces.entries()) {
        stored[stream] += bytes
        joiner.add(stream, Buffer.alloc(bytes, 'x'), stored[stream])
        if (stream === 'stderr') places.push([stored.stderr, stored.stdout])
        if (count % (every + 1) === every) ranges.push(...joiner.take(joiner.due(false)))
      }
      const before = ranges.length
      ranges.push(...joiner.take(joiner.due(true)))
      assert.ok(ranges.length - before <= 2 * Math.ceil((stored.stdout + stored.stderr) / 16_384) + 8)
      const reported = { stdout: 0, stderr: 0 }
      let seen = 0
      for (const { stream, offset, length } of ranges) {
        assert.equal(offset, reported[stream])
        reported[stream] += length
        for (; seen < places.length && places[seen]![0] <= reported.stderr; seen++)
          assert.ok(Math.abs(places[seen]![1] - reported.stdout) <= 16_384)
      }
      assert.deepEqual(reported, stored)
    }),
  )
})

test('bytes with an unknown position are recorded separately, and characters stay whole across streams', () => {
  const joiner = new OutputJoiner()
  joiner.add('stdout', Buffer.from('a€').subarray(0, 2), 2)
  joiner.add('stderr', Buffer.from('xyz'), 3, true)
  joiner.add('stdout', Buffer.from('€').subarray(1), 4)
  joiner.add('stderr', Buffer.from('w'), 4)
  assert.deepEqual(joiner.take(joiner.due(false)), [
    { stream: 'stdout', offset: 0, length: 1 },
    { stream: 'stderr', offset: 0, length: 3, unordered: true },
    { stream: 'stdout', offset: 1, length: 3 },
    { stream: 'stderr', offset: 3, length: 1 },
  ])
})
