import assert from 'node:assert/strict'
import test from 'node:test'
import { TestProgress, timeText, wrapped } from './test-progress.ts'

const work = { file: 'src/a.test.ts', services: [] }

test('a time is shown in seconds up to a minute and a half, then in minutes', () => {
  assert.deepEqual([0, 1, 1000, 40_000, 89_000, 90_000, 540_000].map(timeText), [
    '0 seconds',
    '1 second',
    '1 second',
    '40 seconds',
    '89 seconds',
    '2 minutes',
    '9 minutes',
  ])
})

test('a line wraps at spaces to fit the terminal, and a longer word stays whole', () => {
  assert.equal(wrapped('nothing to part'), 'nothing to part')
  assert.equal(wrapped('no Docker engine answers; start one', 20), 'no Docker engine\n  answers; start one')
  assert.equal(
    wrapped('see https://example.org/a/long/address', 12),
    'see\n  https://example.org/a/long/address',
  )
  for (const line of wrapped('a b c d e f g h i j k l m n o p q r s t u v w x y z'.repeat(9), 30).split('\n'))
    assert.ok(line.length <= 30, line)
})

test('a live line on a terminal shows how many files are left and the time, cut to its width', (t) => {
  const pieces: string[] = []
  const screen = { write: (text: string) => pieces.push(text), isTTY: true, columns: 60 }
  const progress = new TestProgress(screen, 3, (runningMs) => 120_000 - runningMs.size)
  t.after(() => progress.close())
  progress.began(work)
  assert.equal(pieces.join(''), '\r\x1b[K3 of 3 files left, about 2 minutes, running: src/a.test.ts ')
  progress.ended(work, {
    passed: 2,
    failures: [],
    skips: [],
    printed: '',
    ms: 100,
    stopped: false,
  })
  assert.match(pieces.join(''), /\r\x1b\[K1\/3 src\/a\.test\.ts: 2 passed in 0\.1 s\n$/)
})
