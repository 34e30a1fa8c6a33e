import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { StreamName } from '../../contract/attempt.ts'
import { OutputOrder } from './output-order.ts'
import { PLACE_BYTES } from './size-watch.ts'

const SURE = true

function partsOf(order: OutputOrder, known: Record<StreamName, number> = { stdout: 0, stderr: 0 }) {
  const parts: string[] = []
  const at = { ...known }
  for (let part = order.next(at); part; part = order.next(at)) {
    const { stream, offset, length, unordered } = part
    assert.equal(offset, at[stream])
    at[stream] += length
    parts.push(`${stream} ${length}${unordered ? '?' : ''}`)
  }
  assert.deepEqual(at, { stdout: order.length('stdout'), stderr: order.length('stderr') })
  return parts
}

test('output that grew alone between two looks is ordered, and output that grew with much of the other is not', () => {
  const order = new OutputOrder()
  order.look({ stdout: 10, stderr: 0, sure: SURE })
  order.look({ stdout: 1_000_000, stderr: 0, sure: SURE })
  order.look({ stdout: 1_000_000, stderr: 5, sure: SURE })
  order.look({ stdout: 1_000_000 + PLACE_BYTES, stderr: 9, sure: SURE })
  order.look({ stdout: 2_000_000, stderr: 20, sure: SURE })
  order.look({ stdout: 2_000_100, stderr: 900_000, sure: SURE })
  order.look({ stdout: 2_000_100, stderr: 900_001, sure: false })
  assert.deepEqual(partsOf(order), [
    'stdout 1000000',
    'stderr 5',
    `stdout ${PLACE_BYTES}`,
    'stderr 4',
    `stdout ${1_000_000 - PLACE_BYTES}`,
    'stderr 11?',
    'stderr 899980',
    'stdout 100?',
    'stderr 1?',
  ])
})

test('a reader that received another order gets the rest of each stream, once', () => {
  const order = new OutputOrder()
  for (const stream of ['stdout', 'stderr', 'stdout', 'stderr'] as const) order.extend(stream, 10)
  assert.deepEqual(partsOf(order, { stdout: 15, stderr: 0 }), ['stderr 10', 'stdout 5', 'stderr 10'])
  assert.deepEqual(partsOf(order, { stdout: 20, stderr: 3 }), ['stderr 7', 'stderr 10'])
})

test('parts are restored from text, up to the length of their files', () => {
  const order = new OutputOrder()
  order.extend('stdout', 100)
  order.extend('stderr', 7, true)
  order.extend('stdout', 50)
  const text = order.toText()
  const again = new OutputOrder()
  again.takeText(`${text}stderr 9`, { stdout: 120, stderr: 7 })
  assert.deepEqual(partsOf(again), ['stdout 100', 'stderr 7?', 'stdout 20'])
})

test('however many parts there are, few are stored, and no byte is far from its place', () => {
  const piece = fc.tuple(fc.constantFrom<StreamName>('stdout', 'stderr'), fc.integer({ min: 1, max: 400 }))
  fc.assert(
    fc.property(fc.array(piece, { minLength: 30, maxLength: 30 }), (pieces) => {
      const order = new OutputOrder()
      const place: [number, number][] = []
      const all = { stdout: 0, stderr: 0 }
      for (let round = 0; round < 1_000; round++)
        for (const [stream, bytes] of pieces) {
          order.extend(stream, bytes)
          all[stream] += bytes
          if (stream === 'stderr') place.push([all.stderr, all.stdout])
        }
      assert.ok(order.count <= 20_000)
      const at = { stdout: 0, stderr: 0 }
      let count = 0
      for (let part = order.next(at); part; part = order.next(at)) {
        at[part.stream] += part.length
        for (; count < place.length && place[count]![0] <= at.stderr; count++)
          assert.ok(Math.abs(place[count]![1] - at.stdout) <= PLACE_BYTES, `stderr ${place[count]![0]}`)
      }
      assert.deepEqual(at, all)
    }),
    { numRuns: 10 },
  )
})
