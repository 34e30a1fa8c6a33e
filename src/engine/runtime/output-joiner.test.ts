import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OUTPUT_EVENT_BYTES, OutputJoiner } from './output-joiner.ts'

test('however text is split, sent again and told of, its ranges join without a hole and cut no character', () => {
  const text = fc.string({ unit: 'binary', maxLength: 60 }).map((value) => Buffer.from(value))
  fc.assert(
    fc.property(text, fc.array(fc.tuple(fc.nat(9), fc.nat(4), fc.boolean())), (bytes, moves) => {
      const joiner = new OutputJoiner()
      const ranges: { offset: number; length: number }[] = []
      let kept = 0
      for (const [length, back, take] of moves) {
        const from = Math.max(0, kept - back)
        const chunk = bytes.subarray(from, kept + length)
        kept = Math.max(kept, from + chunk.length)
        joiner.add('stdout', chunk, kept)
        if (take) ranges.push(...joiner.take(joiner.due(false)))
      }
      for (const { offset, length } of ranges)
        assert.equal(Buffer.from(bytes.subarray(offset, offset + length).toString()).length, length)
      ranges.push(...joiner.take(joiner.due(true)))
      let told = 0
      for (const { offset, length } of ranges) {
        assert.equal(offset, told)
        told += length
      }
      assert.equal(told, kept)
    }),
  )
})

test('bytes that are no text are not held back', () => {
  const joiner = new OutputJoiner()
  joiner.add('stdout', Buffer.from([0x80, 0x80, 0x80, 0x80]), 4)
  assert.deepEqual(joiner.take(joiner.due(false)), [{ stream: 'stdout', offset: 0, length: 4 }])
})

test('a large amount is due at once, and told of in pieces', () => {
  const joiner = new OutputJoiner()
  assert.equal(joiner.add('stdout', Buffer.alloc(10), 10), false)
  assert.equal(joiner.add('stdout', Buffer.alloc(2 * OUTPUT_EVENT_BYTES), 10 + 2 * OUTPUT_EVENT_BYTES), true)
  assert.deepEqual(
    joiner.take(joiner.due(false)).map(({ length }) => length),
    [OUTPUT_EVENT_BYTES, OUTPUT_EVENT_BYTES, 10],
  )
})
