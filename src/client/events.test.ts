import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { SseParser } from './events.ts'

const text =
  ': hello\n\nid: 1\nevent: output\ndata: {"text":"äöü 😀"}\n\ndata: two\ndata:lines\n\r\nevent: empty\n\nid: 2\r\ndata\r\n\r\ndata: cut'

test('a stream gives the same events no matter how its bytes are split', () => {
  const bytes = new TextEncoder().encode(text)
  const whole = new SseParser().push(bytes)
  assert.deepEqual(whole, [
    { id: '1', event: 'output', data: '{"text":"äöü 😀"}' },
    { id: '1', event: 'message', data: 'two\nlines' },
    { id: '2', event: 'message', data: '' },
  ])
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length)), (cuts) => {
      const parser = new SseParser()
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length]
      const events = places.flatMap((place, index) => parser.push(bytes.subarray(place, places[index + 1])))
      assert.deepEqual(events, whole)
    }),
  )
})
