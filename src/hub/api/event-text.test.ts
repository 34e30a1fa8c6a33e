import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import test from 'node:test'
import type { RunEvent } from '../../contract/events.ts'
import { FairTurns } from '../../platform/fair-turns.ts'
import { EventText } from './event-text.ts'

const time = '2026-01-31T10:00:00.000Z'
const names = { step: 'one', host: 'local', stream: 'stdout' } as const

function reader(bytes: Buffer, outputBytes?: number) {
  const reads: number[] = []
  const engine = {
    output: async (_run: string, _number: number, _stream: string, start: number, end: number) => {
      const part = bytes.subarray(start, end)
      reads.push(part.length)
      return part
    },
  }
  const texts = new EventText({ engine, turns: new FairTurns(1), user: 'ann', runId: 'run_a', outputBytes })
  return { texts, reads }
}

async function jsonOf(texts: EventText, event: RunEvent): Promise<string[]> {
  const pieces = []
  for await (const piece of texts.json(event, '<', '>')) pieces.push(piece)
  return pieces
}

test('an output event in pieces is the JSON of the event with its text, whatever bytes it has', async () => {
  const valid = Buffer.from('"grüße" \\ 🙂\n\u0000\u2028'.repeat(9_000))
  for (const bytes of [
    Buffer.from('one line\n'),
    valid,
    valid.subarray(1),
    valid.subarray(2, valid.length - 1),
    randomBytes(100_000),
    Buffer.alloc(100_001, Buffer.from('🙂').subarray(0, 3)),
  ])
    for (const offset of [0, 3]) {
      const event: RunEvent = {
        seq: 7,
        time,
        type: 'output',
        attempt: 1,
        ...names,
        offset,
        length: bytes.length - offset,
      }
      const { texts, reads } = reader(bytes)
      const pieces = await jsonOf(texts, event)
      const text = bytes.subarray(offset).toString('utf8')
      assert.equal(pieces.join(''), `<${JSON.stringify({ ...event, text })}>`)
      assert.ok(Math.max(...reads) <= 64 * 1024, `${Math.max(...reads)} bytes were held`)
      assert.equal(pieces.length, reads.length, 'one write for each piece')
    }
})

test('of an output only as much comes as text as was asked for', async () => {
  const bytes = Buffer.from('x'.repeat(200_000))
  const event: RunEvent = { seq: 1, time, type: 'output', attempt: 1, ...names, offset: 0, length: 200_000 }
  const { texts, reads } = reader(bytes, 100_000)
  const text = JSON.parse((await jsonOf(texts, event)).join('').slice(1, -1)).text
  assert.equal(text, 'x'.repeat(100_000))
  assert.equal(
    reads.reduce((sum, each) => sum + each, 0),
    100_000,
  )
  const beyond: RunEvent = { ...event, seq: 2, offset: 200_000 }
  assert.deepEqual(await jsonOf(texts, beyond), [`<${JSON.stringify(beyond)}>`])
})

test('an output that is cut short or gone is given as far as it is there, and says how much is missing', async () => {
  const event: RunEvent = { seq: 1, time, type: 'output', attempt: 1, ...names, offset: 0, length: 100_000 }
  for (const there of [0, 10, 70_000]) {
    const { texts } = reader(Buffer.alloc(there, 'x'))
    const told = JSON.parse((await jsonOf(texts, event)).join('').slice(1, -1))
    assert.deepEqual(told, { ...event, text: 'x'.repeat(there), missing: 100_000 - there })
  }
})
