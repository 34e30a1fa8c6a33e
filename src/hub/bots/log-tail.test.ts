import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { RunEvent } from '../../contract/events.ts'
import { StreamLines } from '../../platform/text.ts'
import { logTail } from './log-tail.ts'

type Piece = { stream: 'stdout' | 'stderr'; text: string }

const time = (seq: number) => new Date(Date.UTC(2026, 0, 1) + seq * 1000).toISOString()

/** Builds a log of these outputs, each after some events of other kinds. */
function logOf(pieces: readonly Piece[], between = 0) {
  const events: RunEvent[] = []
  const bytes = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  const add = (event: object) =>
    events.push({ seq: events.length + 1, time: time(events.length + 1), ...event } as RunEvent)
  for (const { stream, text } of pieces) {
    for (let count = 0; count < between; count++) add({ type: 'run.started' })
    const [offset, length] = [bytes[stream].length, Buffer.byteLength(text)]
    add({ type: 'output', attempt: 1, step: 'bot', host: 'local', stream, offset, length, text })
    if (pieces.length < 100) bytes[stream] = Buffer.concat([bytes[stream], Buffer.from(text)])
  }
  const engine = {
    async *watch(_runId: string, after: number) {
      yield* events.slice(after)
    },
    output: async (_runId: string, _number: number, stream: Piece['stream'], start: number, end: number) =>
      bytes[stream].subarray(start, end),
  }
  return { engine, last: events.length, run: { run_id: 'run_1' } }
}

/** Returns the same lines, cut from the start. */
function forward(pieces: readonly Piece[]): string[] {
  const lines = new StreamLines<Piece['stream']>()
  const all = pieces.flatMap(({ stream, text }) =>
    lines.push(stream, text).map((line) => `${stream}: ${line}`),
  )
  return [...all, ...lines.rest().map(([stream, text]) => `${stream}: ${text} (open)`)].sort()
}

test('reading from the end in portions returns the same lines as the whole log, however it is cut', async () => {
  const piece = fc.record({
    stream: fc.constantFrom('stdout' as const, 'stderr' as const),
    text: fc.array(fc.constantFrom('a', 'bc', '\n', '\r\n', 'é')).map((parts) => parts.join('')),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 30 }),
      fc.constantFrom(0, 100, 499),
      async (pieces, between) => {
        const { engine, last, run } = logOf(pieces, between)
        const { lines, truncated } = await logTail(engine, run, last, { tail: 10_000 })
        assert.equal(truncated, false)
        assert.deepEqual(
          lines.map(({ stream, text, open }) => `${stream}: ${text}${open ? ' (open)' : ''}`).sort(),
          forward(pieces),
        )
      },
    ),
    { numRuns: 100 },
  )
})

test('the last lines are returned without a full read, and a search reads further', async () => {
  const pieces = Array.from({ length: 5000 }, (_, index) => ({
    stream: 'stdout' as const,
    text: `line ${index}\n`,
  }))
  const { engine, last, run } = logOf(pieces)
  let reads = 0
  const counting = {
    ...engine,
    async *watch(runId: string, after: number) {
      for await (const event of engine.watch(runId, after)) {
        reads++
        yield event
      }
    },
  }
  const tail = await logTail(counting, run, last, { tail: 3 })
  assert.deepEqual(
    tail.lines.map(({ text }) => text),
    ['line 4997', 'line 4998', 'line 4999'],
  )
  assert.ok(reads <= 10, 'an event can contain much text')
  const found = await logTail(engine, run, last, { tail: 100, search: 'LINE 17' })
  assert.equal(found.lines.length, 100)
  assert.equal(
    (await logTail(engine, run, last, { tail: 100, search: 'line 4242' })).lines[0]!.time,
    time(4243),
  )
  const since = await logTail(engine, run, last, { tail: 10_000, sinceMs: Date.parse(time(4990)) })
  assert.equal(since.lines.length, 11)
})

test('the answer is limited, and says so', async () => {
  const text = `${'x'.repeat(50_000)}\n`
  const pieces = Array.from({ length: 2000 }, () => ({ stream: 'stdout' as const, text }))
  const { engine, last, run } = logOf(pieces)
  const { lines, truncated } = await logTail(engine, run, last, { tail: 10_000 })
  assert.equal(truncated, true)
  assert.ok(lines.length * 50_000 <= 4 * 1024 * 1024)
})

test('a line that is shown or searched only up to a limit is marked', async () => {
  const long = `${'x'.repeat(100_000)}END\n`
  const parts = Array.from({ length: 10 }, (_, at) => long.slice(at * 11_000, (at + 1) * 11_000))
  const pieces = ['before\n', ...parts, 'after\n'].map((text) => ({ stream: 'stdout' as const, text }))
  const { engine, last, run } = logOf(pieces)
  const of = async (filter: Partial<Parameters<typeof logTail>[3]>) => {
    const { lines, truncated } = await logTail(engine, run, last, { tail: 10, ...filter })
    return [lines.map(({ text }) => text.slice(0, 6)), truncated]
  }
  assert.deepEqual(await of({}), [['before', 'xxxxxx', 'after'], true])
  assert.deepEqual(await of({ tail: 1 }), [['after'], false])
  assert.deepEqual(await of({ search: 'after' }), [['after'], true])
  assert.deepEqual(await of({ search: 'end' }), [[], true])
})
