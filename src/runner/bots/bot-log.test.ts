import assert from 'node:assert/strict'
import {
  appendFileSync,
  closeSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { dockerHere } from '../../../test/support/docker/docker.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { sized } from '../../../test/support/size.ts'
import type { LogPiece } from '../docker/docker-engine.ts'
import { BotLog } from './bot-log.ts'
import { readCursor, restoreLog } from './log-cursor.ts'

const skip = await dockerHere()

/** Returns a time: this many seconds and nanoseconds after a full hour. */
const at = (second: number, nanos = 0): string =>
  `2026-01-31T10:${String(Math.floor(second / 60)).padStart(2, '0')}:${String(second % 60).padStart(2, '0')}.${String(nanos).padStart(9, '0')}Z`
const piece = (time: string, text: string, stream: LogPiece['stream'] = 'stdout'): LogPiece => ({
  stream,
  time,
  bytes: Buffer.from(text),
})

/** Makes the files of an attempt, and a function for what a process of the runner does with them. */
function logFiles(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = (name: string) => join(folder, name)
  const paths = { stdout: file('stdout'), stderr: file('stderr') }
  return {
    file,
    text: () => readFileSync(paths.stdout, 'utf8'),
    errors: () => readFileSync(paths.stderr, 'utf8'),
    /** Acts as one process: opens the log, takes the pieces from its start time, and returns that time. */
    take(pieces: LogPiece[], { perDayBytes = 1_000_000, flush = true, end = false } = {}) {
      restoreLog(file('cursor'), paths)
      const fds = { stdout: openSync(paths.stdout, 'a'), stderr: openSync(paths.stderr, 'a') }
      const log = new BotLog({
        fds,
        cursorFile: file('cursor'),
        perDayBytes,
        onWritten: () => undefined,
        onFailed: (error) => assert.fail(error),
      })
      const since = log.open()
      for (const each of pieces) if (since === undefined || each.time >= since) log.take(each)
      if (end) log.end()
      else if (flush) log.flush()
      log.close()
      for (const fd of Object.values(fds)) closeSync(fd)
      return since
    },
  }
}

test('when writing fails the log keeps what it had, even if its cursor is unreadable', (t) => {
  const log = logFiles(t)
  log.take([piece(at(1), 'a\n')])
  // First for writing, then only for reading, so that nothing can be cut off again either.
  for (const flags of ['a', 'r']) {
    const fds = { stdout: openSync(log.file('stdout'), flags), stderr: openSync(log.file('stderr'), flags) }
    const failures: Error[] = []
    const broken = new BotLog({
      fds,
      cursorFile: log.file('cursor'),
      perDayBytes: 1_000_000,
      onWritten: () => undefined,
      onFailed: (error) => failures.push(error),
    })
    broken.open()
    rmSync(log.file('cursor'), { recursive: true })
    mkdirSync(log.file('cursor'))
    broken.take(piece(at(2), 'b\n'))
    broken.flush()
    assert.equal(failures.length, 1)
    assert.equal(log.text(), 'a\n')
    for (const fd of Object.values(fds)) closeSync(fd)
  }
})

test('pieces with the same time are distinguished, and unrecorded ones are read again', (t) => {
  const log = logFiles(t)
  const same = at(5, 7)
  const pieces = [
    piece(at(1), 'a\n'),
    piece(same, 'b\n'),
    piece(same, 'c\n'),
    piece(same, 'B\n', 'stderr'),
    piece(same, 'd\n'),
    piece(at(6), 'e\n'),
  ]
  log.take(pieces.slice(0, 3))
  appendFileSync(log.file('stdout'), 'written, and never noted')
  log.take(pieces.slice(0, 4))
  log.take(pieces)
  log.take(pieces)
  assert.deepEqual([log.text(), log.errors()], ['a\nb\nc\nd\ne\n', 'B\n'])
})

test("a late stream loses nothing: neither a slow line nor one older than the other stream's newest", (t) => {
  const log = logFiles(t)
  const begun = piece(at(1), 'begun…')
  const newest = piece(at(900), 'newest\n', 'stderr')
  log.take([begun, newest])
  const since = log.take([begun, newest, piece(at(1), 'ended\n'), piece(at(899), 'late\n')])
  assert.equal(since, at(1))
  assert.deepEqual([log.text(), log.errors()], ['begun…ended\nlate\n', 'newest\n'])
})

test('output that the engine dropped in the meantime is reported', (t) => {
  const log = logFiles(t)
  log.take([piece(at(1), 'one\n'), piece(at(2), 'two')])
  log.take([piece(at(9), 'nine\n')])
  log.take([piece(at(9), 'nine\n'), piece(at(10), 'ten\n')])
  assert.equal(
    log.text(),
    'one\ntwo\n[errand: a part of the log is missing here: the engine dropped it before it could be read]\nnine\nten\n',
  )
})

test('files shorter than recorded are read again', (t) => {
  const log = logFiles(t)
  const pieces = [piece(at(1), 'one\n'), piece(at(2), 'two\n')]
  log.take(pieces)
  rmSync(log.file('stdout'))
  log.take(pieces)
  assert.equal(log.text(), 'one\ntwo\n')
})

test('bytes over the daily limit are left out and counted, with the same result on each reading', (t) => {
  const line = 'x'.repeat(99)
  // 3,000 lines at once, and one in each minute of the following hours.
  const pieces = Array.from({ length: 3000 }, (_, n) => piece(at(0, n), `${line}\n`))
  for (let minute = 1; minute < 60; minute++) pieces.push(piece(at(minute * 60), `minute ${minute}\n`))
  const whole = logFiles(t)
  whole.take(pieces, { perDayBytes: 100_000, end: true })
  const often = logFiles(t)
  for (const upTo of [10, 999, 1000, 1001, 1500, 2999, 3010, 3020])
    often.take(pieces.slice(0, upTo), { perDayBytes: 100_000, flush: upTo % 2 === 0 })
  often.take(pieces, { perDayBytes: 100_000, end: true })
  assert.equal(often.text(), whole.text())
  const lines = whole.text().split('\n')
  assert.equal(lines.filter((each) => each === line).length, 1000)
  assert.equal(
    lines[1000],
    '[errand: limit of 100,000 bytes of log per day reached, further output is left out]',
  )
  // A hundredth of it is available again after a quarter of an hour.
  assert.match(lines[1001]!, /^\[errand: 200,\d{3} bytes of log left out\]$/)
  assert.equal(lines[1002], 'minute 15')
  assert.equal(lines.at(-2), 'minute 59')
})

test('the log of a bot that floods it is limited, says so, and uses no memory of the runner', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const limits = { log: '1MB', cpus: 2 }
  const bytes = sized('bytes of log in a flood', 300_000_000, 1_000_000_000)
  const attempt = await attempts.start(
    here.bot(`yes "$(head -c 16000 /dev/zero | tr '\\0' x)" | head -c ${bytes}; echo; echo over`, { limits }),
    1,
  )
  let most = 0
  const before = process.memoryUsage.rss()
  const poll = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 100)
  t.after(() => clearInterval(poll))
  // An engine on a busy machine takes minutes for this much.
  const leftOut = () => {
    const [cursor] = globSync(join(here.path, 'attempts/*/log-cursor'))
    return cursor && readCursor(cursor)?.stdout.leftOut
  }
  await until(() => attempt.ended, 'the end of the flood', leftOut)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success', end.message)
  const text = await textOf(attempt)
  assert.ok(text.length <= 1024 ** 2 + 1000, `${text.length} bytes`)
  const [, counted] = /\n\[errand: ([\d,]+) bytes of log left out\]\n$/.exec(text)!
  const all = Number(counted!.replaceAll(',', '')) + text.length
  t.diagnostic(`${all} bytes seen, memory grew by ${Math.round((most - before) / 1024 ** 2)} MB`)
  assert.ok(most - before < 150 * 1024 ** 2, `the runner grew by ${most - before} bytes`)
  await attempts.close()
})
