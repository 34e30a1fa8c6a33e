import assert from 'node:assert/strict'
import test from 'node:test'
import type { StreamName } from '../../contract/attempt.ts'
import type { RunEvent } from '../../contract/events.ts'
import { AttemptLog, type GrowFrom } from './attempt-log.ts'
import { LineIndex } from './line-index.ts'
import { searchLines } from './line-search.ts'

/** A run of one attempt whose outputs arrive in the given order. */
class Log {
  readonly bytes: Record<StreamName, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  readonly events: RunEvent[] = []
  reads = 0

  add(stream: StreamName, text: string | Buffer, atMs = this.events.length * 100, unordered?: true): void {
    const bytes = Buffer.from(text as string)
    const offset = this.bytes[stream].length
    this.bytes[stream] = Buffer.concat([this.bytes[stream], bytes])
    this.#record(
      { type: 'output', attempt: 1, step: 'a', host: 'b', stream, offset, length: bytes.length, unordered },
      atMs,
    )
  }
  end(): void {
    this.#record({ type: 'attempt.finished', attempt: 1, step: 'a', host: 'b', outcome: 'success' }, 0)
  }
  #record(event: object, atMs: number): void {
    const time = new Date(1_700_000_000_000 + atMs).toISOString()
    this.events.push({ ...event, time, seq: this.events.length + 1 } as unknown as RunEvent)
  }
  readonly read = async (stream: StreamName, start: number, end: number) => {
    this.reads += end - start
    return this.bytes[stream].subarray(start, end)
  }
  from(): GrowFrom {
    const { events, read } = this
    const after = async function* (seq: number) {
      yield* events.slice(seq)
    }
    return { events: after, read, lastSeq: events.length, untilMs: Number.POSITIVE_INFINITY }
  }
  /** Cuts lines in the obvious way: each is where its first byte arrived. */
  naive(): { stream: StreamName; bytes: Buffer; open: boolean }[] {
    const lines: { stream: StreamName; parts: Buffer[]; open: boolean }[] = []
    const open: Partial<Record<StreamName, (typeof lines)[number]>> = {}
    for (const event of this.events) {
      if (event.type !== 'output') continue
      const { stream, offset, length } = event
      for (let at = offset; at < offset + length; ) {
        const line = open[stream] ?? { stream, parts: [], open: true }
        if (open[stream] === undefined) lines.push(line)
        open[stream] = line
        const newline = this.bytes[stream].subarray(0, offset + length).indexOf(10, at)
        const end = newline < 0 ? offset + length : newline
        line.parts.push(this.bytes[stream].subarray(at, end))
        if (newline >= 0) {
          line.open = false
          delete open[stream]
        }
        at = newline < 0 ? end : newline + 1
      }
    }
    return lines.map(({ parts, ...line }) => ({ ...line, bytes: Buffer.concat(parts) }))
  }
}

/** Returns a generator of numbers that are the same for the same seed. */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const shown = (bytes: Buffer) => {
  const isReturn = bytes.at(-1) === 13
  return (isReturn ? bytes.subarray(0, -1) : bytes).toString('utf8')
}

test('lines equal those of a naive merge, however the outputs are split, even if read in between', async () => {
  const alphabet = ['a', 'é', '€', '\n', '\n', '\r\n', '\r', '\0', '\x1b[31m', 'long '.repeat(30)]
  for (let seed = 1; seed <= 12; seed++) {
    const random = chance(seed)
    const log = new Log()
    const attemptLog = new AttemptLog(1)
    let numbered: string[] = []
    for (let count = 0; count < 60; count++) {
      const text = Array.from({ length: 1 + random(20) }, () => alphabet[random(alphabet.length)]).join('')
      const piece = Buffer.from(text)
      // Cut anywhere, also inside a character; sometimes more than a piece holds.
      const whole = random(40) === 0 ? Buffer.concat(Array(500).fill(piece)) : piece
      const cut = 1 + random(whole.length)
      log.add(random(3) === 0 ? 'stderr' : 'stdout', whole.subarray(0, cut), count * random(700))
      if (random(4) > 0) continue
      await attemptLog.grow(log.from())
      const seen = await attemptLog.lines(1, Number.POSITIVE_INFINITY, 2 ** 30, log.read)
      const lines = seen.map(({ stream, text }) => `${stream} ${text}`)
      for (const [at, before] of numbered.entries())
        assert.ok(
          lines[at]!.startsWith(before.replace(/\ufffd+$/, '')),
          `line ${at + 1} of seed ${seed} changed`,
        )
      numbered = lines
    }
    await attemptLog.grow(log.from())
    const expected = log.naive().map(({ stream, bytes, open }) => ({ stream, text: shown(bytes), open }))
    const all = await attemptLog.lines(1, Number.POSITIVE_INFINITY, 2 ** 30, log.read)
    assert.deepEqual(
      all.map(({ stream, text, open }) => ({ stream, text, open })),
      expected,
      `seed ${seed}`,
    )
    assert.deepEqual(
      all.map(({ number }) => number),
      expected.map((_, at) => at + 1),
    )
    assert.equal(attemptLog.index.total, expected.length)
    const from = 1 + random(expected.length)
    const to = from + random(50)
    const some = await attemptLog.lines(from, to, 2 ** 30, log.read)
    assert.deepEqual(some, all.slice(from - 1, to), `lines ${from} to ${to} of seed ${seed}`)
    assert.deepEqual(
      (await attemptLog.open(2 ** 30, log.read)).map(({ number, text }) => [number, text]),
      expected.flatMap(({ open, text }, at) => (open ? [[at + 1, text]] : [])),
    )
    const lastStderr = expected.findLastIndex(({ stream }) => stream === 'stderr')
    const first = expected.slice(0, lastStderr + 1).findLastIndex(({ stream }) => stream === 'stdout') + 2
    assert.deepEqual(
      attemptLog.index.head.lastStderr,
      lastStderr < 0 ? undefined : { from: first, to: lastStderr + 1 },
    )
    for (const stream of ['stdout', 'stderr'] as const) {
      const numbers: number[] = []
      for (let next: number | undefined = 1; next !== undefined; ) {
        const page: { stretches: [number, number][]; next?: number } = attemptLog.index.stretches(
          stream,
          next,
          3,
        )
        for (const [first, last] of page.stretches) for (let at = first; at <= last; at++) numbers.push(at)
        next = page.next
      }
      assert.deepEqual(
        numbers,
        expected.flatMap((line, at) => (line.stream === stream ? [at + 1] : [])),
        `${stream} of seed ${seed}`,
      )
    }
    const again = LineIndex.fromFile(attemptLog.index.toFile('then'), 'then')
    assert.deepEqual(again?.head, attemptLog.index.head)
    const read = await new AttemptLog(1, again).lines(from, to, 2 ** 30, log.read)
    assert.deepEqual(read, some)
  }
})

test('a search finds the same lines as a scan of each line, forward and backward, in parts', async () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = chance(seed)
    const log = new Log()
    for (let count = 0; count < 300; count++) {
      const text = Array.from(
        { length: random(30) },
        () => ['x', 'Needle', '\n', '\x1b[1mNee\x1b[0mdle', ' '][random(5)],
      )
      log.add(random(3) === 0 ? 'stderr' : 'stdout', `${text.join('')}.`)
    }
    log.end()
    const attemptLog = new AttemptLog(1)
    await attemptLog.grow(log.from())
    const expected = log
      .naive()
      .flatMap(({ bytes }, at) =>
        /needle +/i.test(bytes.toString().replace(/\x1b\[\d*m/g, '')) ? [at + 1] : [],
      )
    assert.ok(expected.length > 20)
    for (const backward of [false, true]) {
      const found: number[] = []
      let next: number | undefined = backward ? attemptLog.index.total : 1
      while (next !== undefined) {
        const page: { hits: { number: number }[]; next?: number } = await searchLines(attemptLog, {
          pattern: { text: 'needle +', re: true, case: false },
          from: next,
          backward,
          most: 50,
          untilMs: Number.POSITIVE_INFINITY,
          read: log.read,
        })
        found.push(...page.hits.map(({ number }) => number))
        next = page.next
      }
      assert.deepEqual(found, backward ? expected.toReversed() : expected)
    }
  }
})

test('a line of 100 MB is cut, with its length, and not read further', async () => {
  const log = new Log()
  log.add('stdout', 'first\n')
  log.bytes.stdout = Buffer.concat([log.bytes.stdout, Buffer.alloc(100 * 1024 * 1024, 'x')])
  const event = log.events[0]! as { length: number }
  event.length = log.bytes.stdout.length
  log.add('stderr', 'meanwhile\n')
  log.add('stdout', '\nlast')
  const attemptLog = new AttemptLog(1)
  await attemptLog.grow(log.from())
  log.reads = 0
  const found = await attemptLog.lines(1, 10, 100, log.read)
  assert.deepEqual(
    found.map(({ number, stream, text, length, open }) => [number, stream, text.length, length, open]),
    [
      [1, 'stdout', 5, undefined, false],
      [2, 'stdout', 100, 100 * 1024 * 1024, false],
      [3, 'stderr', 9, undefined, false],
      [4, 'stdout', 4, undefined, true],
    ],
  )
  assert.ok(log.reads < 2 * 1024 * 1024, `${log.reads} bytes read`)
  assert.deepEqual(await attemptLog.lines(5, 10, 100, log.read), [])
})

test('a long line that is redrawn shows its last states, and no character is cut in two', async () => {
  const log = new Log()
  log.add('stdout', `${Array.from({ length: 500 }, (_, at) => `${at} %\r`).join('')}\n`)
  log.add('stdout', `${'€'.repeat(50)}\n`)
  const attemptLog = new AttemptLog(1)
  await attemptLog.grow(log.from())
  const [progress, euros] = await attemptLog.lines(1, 2, 64, log.read)
  assert.match(progress!.text, /^\d+ %\r.*499 %$/s)
  assert.equal(progress!.leftOut! + Buffer.byteLength(progress!.text) + 1, progress!.length)
  assert.deepEqual([euros!.text, euros!.length], ['€'.repeat(21), 150])
})

test('ignores an index that is incomplete or belongs to another run', () => {
  const index = LineIndex.empty()
  index.add('stdout', Buffer.from('a\nb\n'), 1)
  const file = index.toFile('then')
  assert.equal(LineIndex.fromFile(file, 'then')?.total, 2)
  assert.equal(LineIndex.fromFile(file, 'later'), undefined)
  assert.equal(LineIndex.fromFile(file.subarray(0, -1), 'then'), undefined)
  const bad = Buffer.from(file)
  bad[bad.length - 3]! ^= 1
  assert.equal(LineIndex.fromFile(bad, 'then'), undefined)
  assert.equal(LineIndex.fromFile(Buffer.alloc(0), 'then'), undefined)
})

test('marks lines whose position is unknown, even in an index from a file', async () => {
  const log = new Log()
  log.add('stdout', 'one\ntwo\n', 0)
  log.add('stderr', 'lost\nopen', 0, true)
  log.add('stderr', ' end\nknown\n', 0)
  const attemptLog = new AttemptLog(1)
  await attemptLog.grow(log.from())
  const marks = async (of: AttemptLog) =>
    (await of.lines(1, 10, 100, log.read)).map(({ text, unordered }) => `${text}${unordered ? '?' : ''}`)
  const expected = ['one', 'two', 'lost?', 'open end?', 'known']
  assert.deepEqual(await marks(attemptLog), expected)
  const again = LineIndex.fromFile(attemptLog.index.toFile('then'), 'then')
  assert.deepEqual(await marks(new AttemptLog(1, again)), expected)
})
